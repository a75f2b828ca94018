package client

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
)

// reply is what a proxy answered, in RESP2.
type reply struct {
	kind  byte // '+', '-', ':', '$' or '*'
	null  bool
	n     int64
	bytes []byte  // the reader's own; nobody else writes to it
	list  []reply // of '*'
}

// Bounds of what a proxy may make us hold.
const (
	maxBulk  = 1 << 26
	maxList  = 1 << 16
	maxDepth = 4
)

func readReply(r *bufio.Reader, depth int) (reply, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return reply{}, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return reply{}, fmt.Errorf("client: %.40q is no line of RESP: is this a proxy?", line)
	}
	kind, text := line[0], line[1:len(line)-2]
	switch kind {
	case '+':
		if string(text) == "OK" {
			return reply{kind: kind}, nil
		}
		return reply{kind: kind, bytes: append([]byte(nil), text...)}, nil
	case '-':
		return reply{kind: kind, bytes: append([]byte(nil), text...)}, nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case err != nil:
	case kind == ':':
		return reply{kind: kind, n: n}, nil
	case kind == '$' && n <= maxBulk:
		return readBulk(r, n)
	case kind == '*' && n <= maxList && depth < maxDepth:
		return readList(r, n, depth+1)
	}
	return reply{}, fmt.Errorf("client: %.40q is not what a proxy says", line)
}

func readBulk(r *bufio.Reader, n int64) (reply, error) {
	if n < 0 {
		return reply{kind: '$', null: true}, nil
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return reply{}, err
	}
	return reply{kind: '$', bytes: b[:n:n]}, nil
}

func readList(r *bufio.Reader, n int64, depth int) (reply, error) {
	if n < 0 {
		return reply{kind: '*', null: true}, nil
	}
	list := make([]reply, n)
	for i := range list {
		var err error
		if list[i], err = readReply(r, depth); err != nil {
			return reply{}, err
		}
	}
	return reply{kind: '*', list: list}, nil
}

// fault is the error that a reply is, or nil.
func (r *reply) fault() error {
	if r.kind == '-' {
		return errorReply(string(r.bytes))
	}
	return nil
}

// shape fails on a reply of another form than the command has.
func (r *reply) shape(kind byte, least int) error {
	if r.kind != kind || len(r.list) < least {
		return fmt.Errorf("client: the proxy answered with a %c of %d elements, not a %c of %d: is it older or"+
			" newer than this client?", r.kind, len(r.list), kind, least)
	}
	return nil
}
