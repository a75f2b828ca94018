package resp

// command is a row of the table of commands.
type command struct {
	name  string // lower case
	arity int    // words, the name included; negative = at least
	flags commandFlags
	// Where keys are, as COMMAND tells clients: first and last word (negative from the end), step.
	first, last, step int
	run               func(s *stage, args [][]byte)
	group             string
	summary           string
}

type commandFlags uint8

const (
	read  commandFlags = 1 << iota // may be a barrier read
	write                          // may be wrapped in a session
	open                           // allowed before authentication
)

// commands are what the proxy answers, by groups; doc.go holds the same table for readers.
func commands() []command {
	var all []command
	all = append(all, readCommands()...)
	all = append(all, writeCommands()...)
	all = append(all, connectionCommands()...)
	return append(all, ownCommands()...)
}

func readCommands() []command {
	return []command{
		{"get", 2, read, 1, 1, 1, (*stage).get, "string", "the value of a key"},
		{"mget", -2, read, 1, -1, 1, (*stage).mget, "string", "the values of keys, all at one index"},
		{"exists", -2, read, 1, -1, 1, (*stage).exists, "generic", "how many of the keys exist"},
		{"strlen", 2, read, 1, 1, 1, (*stage).strlen, "string", "bytes of a value"},
		{"type", 2, read, 1, 1, 1, (*stage).typeOf, "generic", "string or none"},
		{"ttl", 2, read, 1, 1, 1, (*stage).ttl, "generic", "-1: keys never expire; -2: no such key"},
		{"pttl", 2, read, 1, 1, 1, (*stage).ttl, "generic", "as TTL"},
		{"dbsize", 1, read, 0, 0, 0, (*stage).dbsize, "server", "how many keys there are"},
		{"scan", -2, read, 0, 0, 0, (*stage).scan, "generic", "keys in the order of their hashes"},
	}
}

func writeCommands() []command {
	return []command{
		{"set", -3, write, 1, 1, 1, (*stage).set, "string", "set a key; NX, XX, GET, KEEPTTL"},
		{"setnx", 3, write, 1, 1, 1, (*stage).setnx, "string", "set a key that does not exist"},
		{"getset", 3, write, 1, 1, 1, (*stage).getset, "string", "set a key; answers the value before"},
		{"getdel", 2, write, 1, 1, 1, (*stage).getdel, "string", "delete a key; answers its value"},
		{"mset", -3, write, 1, -1, 2, (*stage).mset, "string", "set keys, all at one index"},
		{"del", -2, write, 1, -1, 1, (*stage).del, "generic", "delete keys, all at one index"},
		{"unlink", -2, write, 1, -1, 1, (*stage).del, "generic", "as DEL"},
		{"incr", 2, write, 1, 1, 1, (*stage).incr, "string", "add 1 to a decimal integer"},
		{"decr", 2, write, 1, 1, 1, (*stage).decr, "string", "subtract 1 from a decimal integer"},
		{"incrby", 3, write, 1, 1, 1, (*stage).incrby, "string", "add to a decimal integer"},
		{"decrby", 3, write, 1, 1, 1, (*stage).decrby, "string", "subtract from a decimal integer"},
		{"append", 3, write, 1, 1, 1, (*stage).appendTo, "string", "append to a value"},
	}
}

func connectionCommands() []command {
	return []command{
		{"ping", -1, 0, 0, 0, 0, (*stage).ping, "connection", "PONG, or the message"},
		{"echo", 2, 0, 0, 0, 0, (*stage).echo, "connection", "the message"},
		{"hello", -1, open, 0, 0, 0, (*stage).hello, "connection", "choose RESP2 or RESP3; AUTH, SETNAME"},
		{"auth", -2, open, 0, 0, 0, (*stage).auth, "connection", "authenticate"},
		{"select", 2, 0, 0, 0, 0, (*stage).selectDB, "connection", "there is database 0 only"},
		{"quit", -1, open, 0, 0, 0, (*stage).quit, "connection", "close the connection"},
		{"reset", 1, open, 0, 0, 0, (*stage).reset, "connection", "back to how a connection starts"},
		{"client", -2, 0, 0, 0, 0, (*stage).client, "connection",
			"ID, INFO, LIST, GETNAME, SETNAME, SETINFO, REPLY, NO-EVICT, NO-TOUCH"},
		{"command", -1, 0, 0, 0, 0, (*stage).command, "server", "COUNT, DOCS, INFO, LIST, GETKEYS"},
		{"config", -2, 0, 0, 0, 0, (*stage).config, "server", "GET of a few parameters that tools ask for"},
		{"info", -1, 0, 0, 0, 0, (*stage).info, "server", "the state of this proxy"},
	}
}

func ownCommands() []command {
	return []command{
		{"mt.get", 2, read, 1, 1, 1, (*stage).mtGet, "metronome", "a key's value and revision"},
		{"mt.cas", -4, write, 1, 1, 1, (*stage).mtCAS, "metronome",
			"set a key if it has the revision expected, 0 = if it is absent"},
		{"mt.scan", -2, read, 0, 0, 0, (*stage).mtScan, "metronome", "keys of a prefix in order"},
		{"mt.multi", -3, write, 0, 0, 0, (*stage).mtMulti, "metronome", "SET, DEL and GET, all at one index"},
		{"mt.session", 2, 0, 0, 0, 0, (*stage).mtSession, "metronome", "OPEN a session"},
		{"mt.do", -5, 0, 0, 0, 0, (*stage).mtDo, "metronome", "execute a write once, however often it is sent"},
		{"mt.read", -3, 0, 0, 0, 0, (*stage).mtRead, "metronome", "one read as ITEM or by BARRIER"},
		{"mt.reads", 2, 0, 0, 0, 0, (*stage).mtReads, "metronome", "how this connection reads"},
	}
}

// refusals are commands of Redis that clients may well send and this store will not execute, and
// what to do instead.
func refusals() map[string]string {
	expiry := "keys do not expire in this store"
	transaction := "there are no transactions; MSET, MGET and MT.MULTI are atomic, MT.CAS is conditional"
	return map[string]string{
		"expire": expiry, "pexpire": expiry, "expireat": expiry, "pexpireat": expiry, "persist": expiry,
		"setex": expiry, "psetex": expiry, "getex": expiry, "expiretime": expiry, "pexpiretime": expiry,
		"multi": transaction, "exec": transaction, "discard": transaction, "watch": transaction,
		"unwatch": transaction,
		"msetnx":  "it would need a condition over several keys; use MT.CAS key by key",
		"keys":    "it would hold everything up; use SCAN, or MT.SCAN for keys in order",
		"wait":    "an acknowledged write is already held by a majority of the replicas",
		"flushdb": "delete keys by SCAN and DEL", "flushall": "delete keys by SCAN and DEL",
		"debug": "it is Redis's own", "object": "it is Redis's own",
		"eval": "there are no scripts", "evalsha": "there are no scripts", "script": "there are no scripts",
		"subscribe": "there is no publish and subscribe", "psubscribe": "there is no publish and subscribe",
		"publish":     "there is no publish and subscribe",
		"incrbyfloat": "replicas of different machines must compute the same; use INCRBY",
		"monitor":     "it would show one client's data to another",
		"shutdown":    "stop the process instead",
	}
}

// index finds rows by name.
type index struct {
	rows     []command
	byName   map[string]*command
	refusals map[string]string
}

func newIndex() *index {
	x := &index{rows: commands(), refusals: refusals()}
	x.byName = make(map[string]*command, len(x.rows))
	for i := range x.rows {
		x.byName[x.rows[i].name] = &x.rows[i]
	}
	return x
}

const maxName = 16 // bytes of the longest name of a command, at least

// find looks a name up in any case, without allocating. It is nil for a stranger.
func (x *index) find(name []byte) *command {
	if len(name) > maxName {
		return nil
	}
	var lower [maxName]byte
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	return x.byName[string(lower[:len(name)])]
}

// takes reports whether a command of n words has the right number of them.
func (c *command) takes(n int) bool {
	return n == c.arity || c.arity < 0 && n >= -c.arity
}
