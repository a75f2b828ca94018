package resp

import (
	"bytes"
	"fmt"
)

// verdict is what the parser found.
type verdict uint8

const (
	more    verdict = iota // the next command has not arrived entirely
	ready                  // a command, in parser.args
	refused                // a whole command beyond a bound, passed over; parser.why says which
	broken                 // not RESP; parser.why says why, and there is no way to go on
)

// Bounds of the protocol itself, as in Redis.
const (
	maxInline    = minBuffer / 2 // bytes of an inline command
	maxMultibulk = 1 << 20       // arguments that are passed over, at most
	maxBulk      = 512 << 20     // bytes of one argument that are passed over, at most
	maxDigits    = 10            // of a length
)

// bounds are what the parser keeps of one command. Beyond keep it passes over the command's bytes
// and refuses the command; the stream goes on.
type bounds struct {
	args    int // arguments
	bulk    int // bytes of an argument
	command int // bytes of all arguments together
	strict  bool
}

// The little that a client may say before it has authenticated; as in Redis, more breaks the
// connection.
var unauthenticated = bounds{args: 10, bulk: 16 << 10, command: 64 << 10, strict: true}

// parser cuts a stream of bytes into commands: RESP arrays of bulk strings, or lines of words. What
// it finds does not depend on how the stream was cut into reads. It keeps at most one command's
// bytes beyond those it was given.
type parser struct {
	bounds bounds
	args   [][]byte // of a ready command; slices of buf, valid until makeRoom
	why    string   // of a refused or broken one

	buf   []byte
	begin int // where the command in progress starts in buf
	at    int // the next byte to look at

	left  int    // arguments still to come; 0 = between commands
	bulk  int    // bytes of the argument in progress; -1 = its header is next
	total int    // bytes of the arguments so far
	spans []span // the arguments so far
	skip  bool   // the command is being passed over
}

// span is an argument: from and to count from parser.begin.
type span struct{ from, to int }

// next looks for a command in what has been received.
func (p *parser) next() verdict {
	if p.left == 0 {
		if v := p.head(); v != more || p.left == 0 {
			return v
		}
	}
	for p.left > 0 {
		if v := p.argument(); v != ready {
			return v
		}
	}
	return p.finish()
}

// head reads what a command starts with; p.left > 0 afterwards if arguments follow.
func (p *parser) head() verdict {
	for {
		if p.at == len(p.buf) {
			return more
		}
		if p.buf[p.at] != '*' {
			if v := p.inline(); v != ready || len(p.args) > 0 {
				return v
			}
			continue // an empty line
		}
		n, next, v := number(p.buf, p.at+1)
		switch {
		case v == more:
			return more
		case v == broken || n > maxMultibulk:
			return p.fail("invalid multibulk length")
		case n > p.bounds.args && p.bounds.strict:
			return p.fail("unauthenticated multibulk length")
		case n <= 0:
			p.at, p.begin = next, next
			continue
		}
		p.at, p.left, p.bulk, p.total = next, n, -1, 0
		p.spans, p.skip = p.spans[:0], false
		if n > p.bounds.args {
			p.passOver(fmt.Sprintf("ERR command of %d arguments is too long: at most %d", n, p.bounds.args))
		}
		return more
	}
}

// argument reads one, header and bytes: ready, or more, or broken.
func (p *parser) argument() verdict {
	if p.bulk < 0 {
		if v := p.header(); v != ready {
			return v
		}
	}
	if p.skip {
		return p.throwAway()
	}
	end := p.at + p.bulk
	if len(p.buf) < end+2 {
		return more
	}
	if p.buf[end] != '\r' || p.buf[end+1] != '\n' {
		return p.fail("expected CRLF after bulk string")
	}
	p.spans = append(p.spans, span{p.at - p.begin, end - p.begin})
	p.at = end + 2
	p.left--
	p.bulk = -1
	return ready
}

// header reads "$length\r\n".
func (p *parser) header() verdict {
	if p.at == len(p.buf) {
		p.forget()
		return more
	}
	if p.buf[p.at] != '$' {
		return p.fail(fmt.Sprintf("expected '$', got '%c'", printable(p.buf[p.at])))
	}
	n, next, v := number(p.buf, p.at+1)
	switch {
	case v == more:
		p.forget()
		return more
	case v == broken || n < 0 || n > maxBulk:
		return p.fail("invalid bulk length")
	case n > p.bounds.bulk && p.bounds.strict:
		return p.fail("unauthenticated bulk length")
	}
	p.at, p.bulk = next, n
	p.total += n
	switch {
	case p.skip:
	case n > p.bounds.bulk:
		p.passOver(fmt.Sprintf("ERR argument of %d bytes is too long: at most %d", n, p.bounds.bulk))
	case p.total > p.bounds.command:
		p.passOver(fmt.Sprintf("ERR command is too long: at most %d bytes", p.bounds.command))
	}
	return ready
}

// passOver gives the command in progress up: from here on its bytes are not kept.
func (p *parser) passOver(why string) {
	p.skip, p.why = true, why
	p.spans = p.spans[:0]
	p.begin = p.at
}

// throwAway drops the bytes of an argument as they come. Once all are gone, bulk is 0 and the
// line's end is looked at.
func (p *parser) throwAway() verdict {
	n := min(p.bulk, len(p.buf)-p.at)
	p.at += n
	p.bulk -= n
	p.begin = p.at
	if p.bulk > 0 || len(p.buf) < p.at+2 {
		return more
	}
	if p.buf[p.at] != '\r' || p.buf[p.at+1] != '\n' {
		return p.fail("expected CRLF after bulk string")
	}
	p.at += 2
	p.begin = p.at
	p.left--
	p.bulk = -1
	return ready
}

// forget lets the buffer be reused up to here while a command is passed over.
func (p *parser) forget() {
	if p.skip {
		p.begin = p.at
	}
}

// finish hands a whole command out.
func (p *parser) finish() verdict {
	if p.skip {
		p.begin = p.at
		return refused
	}
	p.args = p.args[:0]
	for _, s := range p.spans {
		p.args = append(p.args, p.buf[p.begin+s.from:p.begin+s.to:p.begin+s.to])
	}
	p.begin = p.at
	return ready
}

// inline reads a line of words: ready with no arguments if it is empty.
func (p *parser) inline() verdict {
	end := bytes.IndexByte(p.buf[p.at:], '\n')
	switch {
	case end < 0 && len(p.buf)-p.at <= maxInline:
		return more
	case end < 0 || end > maxInline:
		return p.fail("too big inline request")
	}
	line := p.buf[p.at : p.at+end]
	p.at += end + 1
	p.begin = p.at
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	var ok bool
	p.args, ok = splitWords(p.args[:0], line)
	switch {
	case !ok:
		return p.fail("unbalanced quotes in request")
	case len(p.args) > p.bounds.args && p.bounds.strict:
		return p.fail("unauthenticated multibulk length")
	case len(p.args) > p.bounds.args:
		p.why = fmt.Sprintf("ERR command of %d arguments is too long: at most %d", len(p.args), p.bounds.args)
		return refused
	}
	return ready
}

func (p *parser) fail(why string) verdict {
	p.why = "ERR Protocol error: " + why
	return broken
}

// makeRoom returns where the next bytes go, at least one; received says how many came. The slices
// in args are void then. grow is asked for a buffer of the capacity given, and may refuse with nil:
// then the command in progress will be refused with why.
func (p *parser) makeRoom(grow func(capacity int) []byte, why string) []byte {
	if p.begin == len(p.buf) {
		p.buf = p.buf[:0]
		p.at -= p.begin
		p.begin = 0
	}
	if len(p.buf) < cap(p.buf) {
		return p.buf[len(p.buf):cap(p.buf)]
	}
	if p.begin > 0 && p.begin >= cap(p.buf)/4 {
		p.moveTo(p.buf[:0])
	} else if larger := grow(2 * cap(p.buf)); larger != nil {
		p.moveTo(larger[:0])
	} else {
		p.giveUp(why)
	}
	return p.buf[len(p.buf):cap(p.buf)]
}

func (p *parser) moveTo(buf []byte) {
	p.buf = append(buf, p.buf[p.begin:]...)
	p.at -= p.begin
	p.begin = 0
}

// giveUp passes over the command in progress and what has come of it. An inline command never gets
// here: it fits into half of the smallest buffer.
func (p *parser) giveUp(why string) {
	if p.left > 0 && !p.skip {
		p.passOver(why)
		if p.bulk >= 0 {
			p.throwAway()
		}
	}
	p.moveTo(p.buf[:0])
}

// received takes n bytes that were put where makeRoom said.
func (p *parser) received(n int) { p.buf = p.buf[:len(p.buf)+n] }

// idle reports whether nothing is buffered, so that the buffer may be taken away.
func (p *parser) idle() bool { return p.begin == len(p.buf) && p.left == 0 }
