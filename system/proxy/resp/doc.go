// Package resp serves the Redis protocol (RESP2 and RESP3) at a proxy, so that redis-cli,
// redis-benchmark and any language's Redis client work against the store.
//
// A [Server] reads commands, turns each into exactly one item, hands the items of one connection to
// a [Backend] in program order, and writes replies in program order, whatever order the answers
// come in. It neither orders nor executes anything, keeps no keys, and decides nothing about
// retries.
//
// # Life of a command
//
// A goroutine a connection reads what has come, cuts it into commands (parser), stages each
// (stage): an operation, or a reply made at once. A batch of up to 128 is queued (queue) and
// submitted in one call. Answers turn into bytes where they come in, in [Completer.Complete]; a
// second goroutine exists only while there is something to write. Nothing is allocated for GET, SET
// and their like, and an idle connection holds no buffer.
//
// # Commands
//
//	GET MGET EXISTS STRLEN TYPE TTL PTTL DBSIZE   as Redis; keys never expire
//	SCAN cursor [MATCH p] [COUNT n] [TYPE t]      in the order of key hashes: the cursor needs no state
//	                                              anywhere and survives failover (R27)
//	SET key value [NX|XX] [GET] [KEEPTTL]         EX, PX, EXAT, PXAT are refused
//	SETNX GETSET GETDEL MSET DEL UNLINK           as Redis; several keys are atomic (R27)
//	INCR DECR INCRBY DECRBY APPEND                as Redis
//	PING ECHO SELECT QUIT RESET                   as Redis; there is database 0 only
//	HELLO [2|3 [AUTH user pass] [SETNAME name]]   as Redis
//	AUTH [user] password                          if the proxy asks for it
//	CLIENT ID|INFO|LIST|GETNAME|SETNAME|SETINFO   LIST shows the own connection only
//	CLIENT REPLY ON|OFF|SKIP, NO-EVICT, NO-TOUCH  as Redis; the last two do nothing
//	COMMAND [COUNT|DOCS|INFO|LIST|GETKEYS]        what clients and redis-cli ask
//	CONFIG GET pattern…                           a few that tools ask; nothing can be set
//	INFO [section…]                               server clients memory stats replication metronome
//
// Our own:
//
//	MT.GET key                    [value, revision], or nil
//	MT.CAS key revision value     [1, revision] if the key had the revision, 0 = was absent; else
//	       [GET]                  [0, its revision]. With GET a third element: the value before, or nil
//	MT.SCAN prefix [AFTER key]    keys in bytewise order: [next, [[key, revision], …]]; next goes into
//	        [LIMIT n] [VALUES]    AFTER, nil = that was all; LIMIT is 1 to 4096, default 100. With
//	                              VALUES: [key, revision, value]
//	MT.MULTI SET key value |      puts, deletes and gets at one place in the order (R27), up to 4096 and
//	         DEL key | GET key …  1 MiB; of each: [1 if SET or DEL met the key, its revision afterwards or 0,
//	                              what GET got]. A value that would make the reply too long is nil
//	MT.SESSION OPEN               a session's id
//	MT.DO id number low command…  executes a write once under that number of the session, however often
//	                              and through whichever proxies it is sent, and repeats its reply. The
//	                              client counts numbers from 1 and has every reply below low (R24)
//	MT.READ BARRIER|ITEM read…    one read, by barrier or as an item (R26)
//	MT.READS BARRIER|ITEM         how this connection reads from now on
//
// A barrier read is linearizable as an item is, and scales with the replicas. On one connection it
// keeps program order: it is sent as an item while items are outstanding, and an item waits while
// barrier reads are (R20).
//
// What Redis has and this store will not do (expiry, transactions, scripts, KEYS, WAIT, MSETNX…) is
// refused with the reason and what to do instead. Two more differences from Redis 7.0: keys are 1
// to 1024 bytes, so the empty key is an error; an inline command is at most 8 KiB.
//
// # Errors
//
// Besides Redis's own ERR, NOAUTH, WRONGPASS and NOPROTO (R28):
//
//	OVERLOADED   not executed; a bound is reached, try again later
//	UNAVAILABLE  not executed; no majority, or the proxy stops: try again, or elsewhere
//	UNKNOWN      the write may or may not have been executed
//	REFUSED      not executed, and never will be as it is
//	SESSION …    not executed now; UNKNOWN, FORGOTTEN, AHEAD or RESULTGONE says why
//
// No client library that we know of sends a command again by itself after any of these; a test
// holds it for go-redis with its default options, which does so after LOADING, READONLY,
// CLUSTERDOWN, MASTERDOWN, TRYAGAIN, NOREPLICAS, MOVED and ASK. Redisson adds BUSY, which is why
// ours says OVERLOADED.
//
// What no server can prevent: many libraries send a command again when the *connection* breaks
// before the reply has come, which can execute an INCR twice. Switch that off (go-redis: MaxRetries
// -1; redis-py: Retry(NoBackoff(), 0); Lettuce: autoReconnect(false)), or wrap writes in MT.DO, or
// use package system/client, which keeps to one or the other. A proxy that stops answers UNKNOWN
// before it closes, so that such retries stay rare.
//
// # Bounds
//
// [Limits] bounds connections, and per connection commands, their bytes and the replies not taken;
// see there for what happens at each bound. A key or value that is too long is refused and its
// bytes are passed over; what is not RESP ends the connection with Redis's words. [Stats] counts
// all of it.
package resp
