package ethernet

import "encoding/binary"

// More IGMPv3 group record types, seen by those who snoop (RFC 3376 §4.2.12).
const (
	recordIsInclude = 1
	recordAllow     = 5
)

// Snoop reads the membership reports and leaves in pkt, an Ethernet packet, and tells each group
// and whether the sender listens to it from now on. A query tells nothing. Errors are those of
// [ParseIGMP]; groups told before an error stand. Sources are not told apart: a listener to one
// source of a group is a listener.
func Snoop(pkt []byte, tell func(group [4]byte, listens bool)) error {
	msg, err := igmpMessage(pkt)
	if err != nil {
		return err
	}
	switch group := [4]byte(msg[4:8]); msg[0] {
	case typeReportV1, typeReportV2:
		tell(group, true)
	case typeLeaveV2:
		tell(group, false)
	case typeReportV3:
		return snoopRecords(msg, tell)
	}
	return nil
}

// snoopRecords reads the group records of a version 3 report.
func snoopRecords(msg []byte, tell func(group [4]byte, listens bool)) error {
	count, records := int(binary.BigEndian.Uint16(msg[6:])), msg[8:]
	for range count {
		if len(records) < 8 {
			return ErrIGMPLength
		}
		sources := int(binary.BigEndian.Uint16(records[2:]))
		size := 8 + 4*sources + 4*int(records[1])
		if len(records) < size {
			return ErrIGMPLength
		}
		group := [4]byte(records[4:8])
		switch records[0] {
		case recordIsExclude, recordToExclude:
			tell(group, true)
		case recordIsInclude, recordToInclude:
			tell(group, sources > 0)
		case recordAllow:
			if sources > 0 {
				tell(group, true)
			}
		}
		records = records[size:]
	}
	return nil
}

// GeneralQuery writes into pkt the version 2 query that asks every host for its groups, and returns
// the part of pkt it used; pkt must hold [MaxIGMP] bytes. A snooping switch asks when no router
// does; from 0.0.0.0 if it has no address (RFC 4541 §2.1.1). Hosts of version 3 answer it too.
func (h Host) GeneralQuery(pkt []byte) []byte {
	pkt = h.putV2(pkt, typeQuery, [4]byte{224, 0, 0, 1}, [4]byte{})
	msg := pkt[EthernetBytes+igmpIPBytes:]
	msg[1] = 10 // tenths of a second in which to answer
	msg[2], msg[3] = 0, 0
	binary.BigEndian.PutUint16(msg[2:], Checksum(msg))
	return pkt
}
