package resp

import "metronome/system/wire"

// Op is one item with the caller's tag.
type Op struct {
	Item    wire.Item
	Tag     uint64 // unique among the connection's outstanding ops
	Barrier bool   // a read that may be answered by a barrier read (R26)
}

// Done answers one [Op]. Result.Value is valid during the call only.
type Done struct {
	Tag    uint64
	Result wire.Result
}

// Completer takes answers. It is called from any goroutine and does not block.
type Completer interface {
	Complete(done []Done)
}

// Backend executes items for connections.
type Backend interface {
	// Submit queues items of one connection in program order and copies what it keeps. It never
	// blocks, and may call c before it returns. Each op is completed exactly once, in any order. pin
	// is the connection's number: it pins to a lane (R20).
	Submit(pin uint64, ops []Op, c Completer)
}

// Authenticator judges credentials. It is called from the connection's own goroutine and may take
// its time. user is "default" where the client named none.
type Authenticator interface {
	Authenticate(user, password []byte) bool
}

// Informer writes a section of INFO: "field:value\r\n" lines, without the heading. It is asked for
// memory, replication and metronome; an empty answer leaves the section out.
type Informer interface {
	AppendInfo(dst []byte, section string) []byte
}
