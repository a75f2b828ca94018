package ethernet

import (
	"encoding/binary"
	"errors"
	"time"
)

// Version is a version of the Internet Group Management Protocol.
type Version uint8

// The versions a host may be asked to speak.
const (
	IGMPv1 Version = 1 // RFC 1112
	IGMPv2 Version = 2 // RFC 2236
	IGMPv3 Version = 3 // RFC 3376
)

// IGMP message types (RFC 3376 §4).
const (
	typeQuery    = 0x11
	typeReportV1 = 0x12
	typeReportV2 = 0x16
	typeLeaveV2  = 0x17
	typeReportV3 = 0x22
)

// IGMPv3 group record types (RFC 3376 §4.2.12).
const (
	recordIsExclude = 2 // answer to a query: every source of the group is wanted
	recordToInclude = 3 // change of state to "no source": leaving
	recordToExclude = 4 // change of state to "every source": joining
)

// Where membership traffic goes, and the header that carries it: every IGMP packet has TTL 1 and
// the router alert option (RFC 2113), so its IPv4 header is 24 bytes.
var (
	allRouters   = [4]byte{224, 0, 0, 2}
	allV3Routers = [4]byte{224, 0, 0, 22}
	routerAlert  = [4]byte{0x94, 0x04, 0x00, 0x00}
)

// Sizes in bytes.
const (
	igmpIPBytes   = IPv4Bytes + 4 // with router alert
	igmpV2Bytes   = 8
	igmpV3Bytes   = 16 // report with one group record and no sources
	igmpQuery3Min = 12 // query without sources
)

// MaxIGMP is the size of the longest packet [MembershipReport] and [Leave] write, in bytes.
const MaxIGMP = 60

// Why [ParseIGMP] refuses a packet. The errors are fixed: a flood of bad packets allocates nothing.
var (
	ErrNotQuery     = errors.New("igmp: not a membership query")
	ErrIGMPLength   = errors.New("igmp: lengths do not fit the packet or any version")
	ErrIGMPChecksum = errors.New("igmp: wrong checksum")
)

// Query is a membership query: a router or snooping switch asking who still listens.
type Query struct {
	Version Version
	Group   [4]byte       // zero: every group (a general query)
	Max     time.Duration // how late an answer may be
	Sources int           // v3: number of sources asked about
}

// Asks reports whether a listener of group should answer.
func (q Query) Asks(group [4]byte) bool { return q.Group == [4]byte{} || q.Group == group }

// ParseIGMP reads the membership query in pkt, an Ethernet packet. Anything else, reports and
// leaves of other hosts included, is an error: [ErrNotQuery], [ErrIGMPLength] or [ErrIGMPChecksum].
func ParseIGMP(pkt []byte) (Query, error) {
	msg, err := igmpMessage(pkt)
	if err != nil {
		return Query{}, err
	}
	if msg[0] != typeQuery {
		return Query{}, ErrNotQuery
	}
	q := Query{Version: IGMPv2, Group: [4]byte(msg[4:8])}
	switch {
	case len(msg) >= igmpQuery3Min:
		q.Version, q.Max = IGMPv3, responseTime(msg[1])
		q.Sources = int(binary.BigEndian.Uint16(msg[10:]))
		if len(msg) < igmpQuery3Min+4*q.Sources {
			return Query{}, ErrIGMPLength
		}
	case len(msg) != igmpV2Bytes:
		return Query{}, ErrIGMPLength
	case msg[1] == 0:
		q.Version, q.Max = IGMPv1, 10*time.Second // RFC 2236 §4
	default:
		q.Max = time.Duration(msg[1]) * 100 * time.Millisecond
	}
	return q, nil
}

// igmpMessage finds the IGMP message in an Ethernet packet and checks both checksums.
func igmpMessage(pkt []byte) ([]byte, error) {
	if len(pkt) < EthernetBytes+IPv4Bytes ||
		binary.LittleEndian.Uint16(pkt[12:]) != etherTypeIPv4LE || pkt[EthernetBytes]>>4 != 4 {
		return nil, ErrNotQuery
	}
	ip := pkt[EthernetBytes:]
	header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if header < IPv4Bytes || total > len(ip) || total < header+igmpV2Bytes {
		return nil, ErrIGMPLength
	}
	if ip[9] != protocolIGMP || binary.LittleEndian.Uint16(ip[6:])&fragmentMaskLE != 0 {
		return nil, ErrNotQuery
	}
	msg := ip[header:total]
	if Checksum(ip[:header]) != 0 || Checksum(msg) != 0 {
		return nil, ErrIGMPChecksum
	}
	return msg, nil
}

// responseTime decodes the v3 Max Resp Code: tenths of a second, from 128 on a 3-bit exponent and a
// 4-bit mantissa (RFC 3376 §4.1.1).
func responseTime(code byte) time.Duration {
	tenths := int(code)
	if code >= 128 {
		tenths = (int(code&15) | 16) << (code>>4&7 + 3)
	}
	return time.Duration(tenths) * 100 * time.Millisecond
}

// Host is who speaks: the addresses that membership packets come from.
type Host struct {
	MAC [6]byte
	IP  [4]byte // 0.0.0.0 is allowed while the host has none (RFC 3376 §4.2.13)
}

// MembershipReport writes into pkt the packet that says the host listens to group, in the querier's
// version, and returns the part of pkt it used; pkt must hold [MaxIGMP] bytes. joining tells a v3
// router of a new member, as opposed to answering a query.
func (h Host) MembershipReport(pkt []byte, v Version, group [4]byte, joining bool) []byte {
	switch v {
	case IGMPv1:
		return h.putV2(pkt, typeReportV1, group, group)
	case IGMPv2:
		return h.putV2(pkt, typeReportV2, group, group)
	}
	record := byte(recordIsExclude)
	if joining {
		record = recordToExclude
	}
	return h.putV3(pkt, record, group)
}

// Leave writes into pkt the packet that says the host no longer listens to group. Version 1 has
// none: nil.
func (h Host) Leave(pkt []byte, v Version, group [4]byte) []byte {
	switch v {
	case IGMPv1:
		return nil
	case IGMPv2:
		return h.putV2(pkt, typeLeaveV2, allRouters, group)
	}
	return h.putV3(pkt, recordToInclude, group)
}

// putV2 writes a message of version 1 or 2: type, 0, checksum, group.
func (h Host) putV2(pkt []byte, kind byte, to, group [4]byte) []byte {
	pkt = h.putIP(pkt, to, igmpV2Bytes)
	msg := pkt[EthernetBytes+igmpIPBytes:]
	msg[0] = kind
	copy(msg[4:], group[:])
	binary.BigEndian.PutUint16(msg[2:], Checksum(msg))
	return pkt
}

// putV3 writes a version 3 report with one record and no sources.
func (h Host) putV3(pkt []byte, record byte, group [4]byte) []byte {
	pkt = h.putIP(pkt, allV3Routers, igmpV3Bytes)
	msg := pkt[EthernetBytes+igmpIPBytes:]
	msg[0] = typeReportV3
	msg[7] = 1 // number of records
	msg[8] = record
	copy(msg[12:], group[:])
	binary.BigEndian.PutUint16(msg[2:], Checksum(msg))
	return pkt
}

// putIP clears pkt and writes the Ethernet and IPv4 headers in front of a message of n bytes.
func (h Host) putIP(pkt []byte, to [4]byte, n int) []byte {
	pkt = pkt[:EthernetBytes+igmpIPBytes+n]
	clear(pkt)
	mac := MulticastMAC(to)
	copy(pkt, mac[:])
	copy(pkt[6:], h.MAC[:])
	pkt[12] = 0x08
	ip := pkt[EthernetBytes:]
	putIPv4(ip, protocolIGMP, 1, h.IP, to)
	ip[0] = 0x46
	ip[1] = 0xc0 // internetwork control (RFC 3376 §4)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[IPv4Bytes:], routerAlert[:])
	binary.BigEndian.PutUint16(ip[10:], Checksum(ip[:igmpIPBytes]))
	return pkt
}
