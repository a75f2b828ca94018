package client

import (
	"strconv"
	"sync"
)

// command is one on its way: its words in RESP, without the array's head, so that others can be put in
// front.
type command struct {
	words int
	body  []byte
	read  bool // it changes nothing
}

var commands = sync.Pool{New: func() any { return new(command) }}

// newCommand starts one by its name, written as RESP: "$3\r\nSET\r\n".
func newCommand(name string) *command { return commands.Get().(*command).start(name) }

func (c *command) start(name string) *command {
	c.words, c.body, c.read = 1, append(c.body[:0], name...), false
	return c
}

// Bytes of a command's memory that are kept for the next.
const keepCommand = 4 << 10

func (c *command) free() {
	if cap(c.body) <= keepCommand {
		commands.Put(c)
	}
}

func (c *command) key(s string) *command {
	c.words++
	c.body = appendHead(c.body, '$', len(s))
	c.body = append(c.body, s...)
	c.body = append(c.body, '\r', '\n')
	return c
}

func (c *command) value(b []byte) *command {
	c.words++
	c.body = appendHead(c.body, '$', len(b))
	c.body = append(c.body, b...)
	c.body = append(c.body, '\r', '\n')
	return c
}

func (c *command) unsigned(n uint64) *command {
	var digits [20]byte
	return c.value(strconv.AppendUint(digits[:0], n, 10))
}

func (c *command) signed(n int64) *command {
	var digits [20]byte
	return c.value(strconv.AppendInt(digits[:0], n, 10))
}

// appendTo writes the whole command.
func (c *command) appendTo(out []byte) []byte {
	out = appendHead(out, '*', c.words)
	return append(out, c.body...)
}

func appendHead(b []byte, kind byte, n int) []byte {
	b = append(b, kind)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '\r', '\n')
}
