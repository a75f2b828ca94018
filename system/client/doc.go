// Package client talks to the store through its proxies.
//
//	c, err := client.Dial(ctx, client.Config{Addresses: []string{"127.0.0.1:6379", "127.0.0.1:6380"}})
//	err = c.Put(ctx, "greeting", []byte("hello"))
//	e, err := c.Get(ctx, "greeting")         // e.Value, e.Revision
//	e.Revision, err = c.CAS(ctx, e.Key, e.Revision, []byte("bye"))
//
// A [Client] is one connection to one proxy at a time. Any number of goroutines may use it; what is
// outstanding shares the connection, up to Config.Window commands. When the connection or the proxy
// fails, the client goes on with the next address. For more throughput make several clients.
//
// # What may have happened
//
// Every operation is linearizable. An error of a write says whether it may have been executed:
//
//   - [ErrBusy], [ErrUnavailable]: not executed; trying again later may help.
//   - [ErrUnknown]: it may or may not have been executed, now or within moments. A write whose
//     connection breaks, or whose context ends, before the reply has come ends so.
//   - anything else: not executed, and trying again does not help. [ErrResultGone] alone means that
//     the write was executed, before, and that what it answered is lost.
//
// [MayHaveHappened] sums it up. Reads change nothing: one whose answer is lost is repeated, until its
// context ends.
//
// # Exactly once
//
// A [Session] numbers its writes. The store executes each number at most once, so the session can send
// a write again, through another proxy too, until it is answered or its context ends: an Incr that
// returns without error has counted exactly once.
//
// # Order
//
// Operations that one goroutine makes one after another are executed in that order. So are commands of
// one [Pipeline], and [Client.PutAsync] calls of one goroutine, on one connection (R20); when a
// connection breaks in between, some may have been executed and others not. Writes of a session that are
// outstanding together may be executed in any order.
//
// The package keeps no cache and no copy of the store's state, opens no connection without need and
// logs nothing.
package client
