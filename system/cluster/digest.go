package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Sections of a configuration that processes compare, in the order of Digest.
var sections = [...]string{"name", "replicas", "proxies", "multicast", "datagrams", "limits", "timing",
	"consensus"}

// Digest stands for what a process's configuration says that concerns others: a hash a section, so
// that those who disagree can say about what. Cores, ports, ops and client addresses, and where the
// secrets lie, are left out: they may differ between machines. A release that adds a key to a
// section makes itself differ from older ones in it: better refused for nothing than taken for
// equal.
type Digest [len(sections)]uint64

// DigestBytes is a Digest's length on the wire.
const DigestBytes = 8 * len(sections)

// Digest is the configuration's digest.
func (c *Config) Digest() Digest {
	type listener struct {
		Name, Stream, Datagram string
		Lanes                  int
	}
	var replicas, proxies []listener
	for i := range c.Replicas {
		r := &c.Replicas[i]
		replicas = append(replicas, listener{r.Name, r.Stream, r.Datagram, 0})
	}
	for i := range c.Proxies {
		p := &c.Proxies[i]
		proxies = append(proxies, listener{p.Peer().String(), p.Stream, p.Datagram, p.Lanes})
	}
	return Digest{
		hash(c.Name), hash(replicas), hash(proxies),
		c.Multicast.hash(), hash(c.Integrity, c.Durability),
		hash(c.Limits), hash(c.Timing), hash(c.Consensus, c.AcceptQuorum),
	}
}

// hash leaves out one port, as builds do that know of no more.
func (m *Multicast) hash() uint64 {
	if m.Ports <= 1 {
		return hash(m.Mode, m.Group)
	}
	return hash(m.Mode, m.Group, m.Ports)
}

// hash is of plain data, which always has a JSON form, and one only.
func hash(values ...any) uint64 {
	b, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("cluster: digest of %T: %v", values, err))
	}
	sum := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(sum[:])
}

// Differs names the sections in which two configurations differ. Replicas and proxies may, for as
// long as a change is rolled out; the others never, while both run.
func (d Digest) Differs(other Digest) (names []string) {
	for i, name := range sections {
		if d[i] != other[i] {
			names = append(names, name)
		}
	}
	return names
}

// Append adds the digest to a message, DigestBytes long.
func (d Digest) Append(dst []byte) []byte {
	for _, v := range d {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return dst
}

// DecodeDigest reads what Append wrote; ok is false if b is too short. A build that did not know of
// other algorithms ends one section earlier: it is one of raft.
func DecodeDigest(b []byte) (d Digest, ok bool) {
	if len(b) == DigestBytes-8 {
		b = binary.LittleEndian.AppendUint64(b[:len(b):len(b)], hash(Algorithms[0], 0))
	}
	if len(b) < DigestBytes {
		return d, false
	}
	for i := range d {
		d[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return d, true
}
