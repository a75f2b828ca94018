package sim

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/system/wire"
)

// nameOf says in a few words what an event carries, for people.
func nameOf(e *event) string {
	switch {
	case e.kind == evMessage && len(e.b) > 0:
		return nameOfMessage(wire.Kind(e.b[0]), e.b[1:])
	case e.kind != evDatagram || len(e.b) < wire.HeaderSize:
		return ""
	}
	var h wire.Header
	h.Get(e.b)
	return fmt.Sprintf("type %d flags %x lane %d/%d/%d frame %d items %d+%d tail %d", h.Type, h.Flags, h.Proxy,
		h.Incarnation, h.Lane, h.Frame, h.First, h.Count, h.Tail)
}

// orderHeader is how many bytes of addresses precede an orderer's message.
const orderHeader = 16

// nameOfMessage shows what Raft says to itself; of anything else the kind is enough.
func nameOfMessage(k wire.Kind, b []byte) string {
	var m pb.Message
	if k != wire.KindOrder || len(b) < orderHeader || proto.Unmarshal(b[orderHeader:], &m) != nil {
		return k.String()
	}
	return raft.DescribeMessage(&m, func(b []byte) string { return fmt.Sprintf("%d bytes", len(b)) })
}
