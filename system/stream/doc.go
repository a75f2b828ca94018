// Package stream carries opaque messages between the processes of a cluster, over TCP with mutual
// TLS 1.3 and nothing else.
//
//	Send(to, msg, bulk) -> queue -> writer: one write for all that came meanwhile -> TLS, TCP
//	TLS, TCP -> reader -> Config.Message(from, msg)
//
// A large message is copied once on each side, from and into the bytes of TLS, if it is given instead
// of lent: [Transport.Give], Config.Given, [Inbox.Give].
//
// # What it promises
//
// The sender of a message is who its certificate names (R22). Messages of one connection and one
// class (urgent or bulk) arrive in order and whole, or not at all. Between two connections, any
// number at the end of the first may be lost, even though Send took them: protocols above must
// resend what matters.
//
// # Connections
//
// A pair of peers has one connection, in both directions. The one with the greater wire.Peer dials:
// a proxy dials replicas, a replica those on lower seats. So two never connect to each other at
// once. A failed dial is repeated after a jittered, growing pause. A standing connection is not
// displaced by another process that shows the same certificate: that one is told so, and waits (a
// copied configuration, or a restart the network has not told us of). The same process may displace
// its own.
//
// Each side sends a ping several times in Config.Timeout, from the writer; whoever hears nothing
// for that long drops the connection. So a stopped, cut off or powered down peer is noticed within
// the timeout, and one whose Message call takes long is not mistaken for one.
//
// # Bytes on the connection
//
//	offset  size  field
//	     0     4  kind << 28 | length, little-endian
//	     4     -  length bytes
//
//	kind 0 urgent: a whole message         kind 4 pong: the ping's 8 bytes
//	kind 1 part: bulk, more follows        kind 5 bye: why the connection ends
//	kind 2 last: the bulk message's end    kind 6 hello: the first from either side
//	kind 3 ping: 8 bytes, the sender's
//
// Bulk messages travel in parts of 16 KiB, one TLS record, and urgent ones pass between the parts.
// TCP_NOTSENT_LOWAT keeps the kernel's queue short, so that urgent messages wait behind what is on
// the network and not behind megabytes in memory.
//
// # Bounds
//
// What a peer is to be sent is bounded by Config.QueueBytes for each class; Send answers false
// beyond it. A message is bounded by Config.MaxMessage on either side. Before a stranger has shown
// a certificate he costs one of a fixed number of places, and loses it to the next if he is slow.
//
// The package does not resend, compress, route, discover, or know what messages mean, but for
// counting them by their first byte.
package stream
