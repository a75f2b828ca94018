// Package quorum keeps an edge's data in the replicated core, so that several edges serve the same data: any
// of them continues a device's session and reads any key.
//
//	s, err := quorum.Open(ctx, quorum.Config{Dir: "/var/lib/edge", Cluster: "cluster.yaml", Proxy: 2})
//	server, err := edge.New(edge.Config{Name: "hall", Store: s, …})
//
// # How
//
// Each edge has a copy of everything, a store of package local, that follows an order of turns kept in the
// core (state machine replication over a shared log, as in Corfu's and Tango's logs). A write goes so:
//
//  1. The edge judges what has gathered (conditions, numbers of sessions, rights) on its copy and changes
//     nothing.
//  2. It offers the result to the core as the turn behind the last one it knows: one atomic item that holds
//     the entries changed, the sessions' marks, the turn itself for other edges to follow, and the head:
//     which turn is the last.
//  3. If the core takes it, the copy follows and the clients are answered. If another edge was first, the
//     copy follows that edge's turn, and all is judged again.
//
// So judging is done by one piece of code, that of the local store, and is right because it was done on the
// very state that the turn follows. Revisions, ETags, marks and watches are the same at every edge.
//
// # Who is first
//
// All edges share one session of the core, and turn p is the session's number p (less where the session
// began). The core executes each number once and answers everybody else who sends it with what it answered
// then (R24), which holds the head: so each learns who was first. With turn p the low mark becomes p, and
// an edge that was away and still holds p-1 to be free is refused. If nobody wrote for so long that the
// session ended (session_ttl), or something that is no turn used up a number, whoever notices opens another
// and writes it down by compare-and-set. The old session is retired before: its low mark is raised above all
// turns, so that none of it will be executed, whoever still holds it to be the session.
//
// # What lies in the core
//
//	<space>i            life: incarnation, session, the turn before its first
//	<space>h            head: last turn, first turn still kept, totals
//	<space>l<turn>      turn: name, totals, records; the last Config.Keep
//	<space>d<key>       entry, as in package local; <space>D<hash> if the key is too long, key in front
//	<space>s…           session, as in package local
//
// # Reading
//
// consistency=quorum asks the core for the head (one barrier read, R26), waits until the copy is there, and
// reads the copy: linearizable. local reads the copy at once; X-Staleness-Ms says how long ago it was last
// known to be current, at most Config.Poll and a round trip while the core answers. A listing's pages are all
// of one revision, whatever the level.
//
// # Cut off from the core
//
// Local reads, listings and watches go on with what the copy has. Writes and quorum reads are refused with
// [edge.ErrUnreachable] at once, and Check says so. A write under way when the connection broke may be
// unknown ([edge.ErrUnknown]); a device sends it again, here or at another edge, and its number tells.
// An edge that starts without its core serves the copy it has; without a copy it waits.
//
// # Behind
//
// A copy that is behind by more than the turns kept, or that belongs to another life of the core (one that
// was restored from a backup), is built anew beside the old one, from the core's entries, while the old one
// serves local reads. Each turn carries the totals and digest that it leads to: a copy that differs is
// damaged, and is built anew too. Watchers that ask for what the new copy has not seen are told to list.
//
// # Bounds
//
// A turn is one item of the core: at most 1 MiB with keys, entries and records, so a batch's values may have
// about 500 KiB together; more is 413. One turn of an edge is under way at a time, and takes in what has
// gathered. The core holds each value twice for as long as its turn is kept.
//
// # What it does not do
//
// It makes no backups: the core's do (metronome backup). Sessions are never swept. Two edges that run a proxy
// of the same number fence each other.
package quorum
