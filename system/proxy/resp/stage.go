package resp

import (
	"strconv"
	"strings"

	"metronome/system/wire"
)

// staged is a command on its way into the queue.
type staged struct {
	reply replyKind
	flags pendingFlags
	size  int
	text  span // in stage.text: the reply of a local command, or a scan's pattern
}

// inbox is what a connection needs only while it has commands to read. Idle connections give it
// back.
type inbox struct {
	parser
	entries []staged // commands in order
	ops     []Op     // of those that are not local, in order
	text    []byte
	scratch []byte // values that are built here; ops point into it
}

// reset makes it as new, but for its memory.
func (b *inbox) reset() {
	clear(b.args[:cap(b.args)])
	b.parser = parser{buf: b.buf[:0], args: b.args[:0], spans: b.spans[:0]}
	b.clear()
}

// clear empties the batch and keeps its memory.
func (b *inbox) clear() {
	clear(b.ops)
	b.entries, b.ops, b.text, b.scratch = b.entries[:0], b.ops[:0], b.text[:0], b.scratch[:0]
}

// replyMode is CLIENT REPLY.
type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkipNext // the next command goes without reply
	replySkip     // this one does
)

const defaultUser = "default"

// state is what a connection remembers between commands, as RESET resets it.
type state struct {
	authenticated bool
	user          string
	name          string // CLIENT SETNAME
	library       string // CLIENT SETINFO
	version       string
	proto         uint8 // 2 or 3
	mode          replyMode
	barrierReads  bool
}

// stage turns commands into staged entries: operations for the backend, or replies made here. It
// touches neither socket nor queue.
type stage struct {
	state
	*inbox
	index *index
	conn  *conn

	flags   pendingFlags // of the command in hand
	size    int
	closing bool   // QUIT
	errors  uint64 // commands refused since the last commit
}

// parameter is one of CONFIG GET.
type parameter struct{ name, value string }

// dispatch stages one command.
func (s *stage) dispatch(args [][]byte) {
	if s.mode == replySkipNext {
		s.mode = replySkip
	}
	s.begin(args)
	c := s.index.find(args[0])
	switch {
	case c == nil:
		s.stranger(args)
	case !c.takes(len(args)):
		s.wrongArity(c.name)
	case !s.authenticated && c.flags&open == 0:
		s.fail(textNoAuth)
	default:
		s.perform(c, args)
	}
	if s.mode == replySkip {
		s.mode = replyOn
	}
}

// perform runs a command that is as it should be.
func (s *stage) perform(c *command, args [][]byte) {
	if c.flags&read != 0 && s.barrierReads {
		s.flags |= barrier
	}
	before := len(s.ops)
	c.run(s, args)
	if len(s.ops) == before {
		return
	}
	if why := s.conn.obstacle(); why != "" {
		s.ops = s.ops[:before]
		s.entries = s.entries[:len(s.entries)-1]
		s.fail(why)
	}
}

// begin says what all entries of the command in hand have in common.
func (s *stage) begin(args [][]byte) {
	s.size = 0
	for _, a := range args {
		s.size += len(a) + 16
	}
	s.flags = 0
	if s.proto == 3 {
		s.flags = proto3
	}
	if s.mode != replyOn {
		s.flags |= silent
	}
}

// refuse answers a command that the parser passed over.
func (s *stage) refuse(why string) {
	s.begin(nil)
	s.fail(why)
}

// submit stages an operation.
func (s *stage) submit(reply replyKind, item wire.Item) {
	s.entries = append(s.entries, staged{reply: reply, flags: s.flags, size: s.size})
	s.ops = append(s.ops, Op{Item: item})
}

// answer stages what has been appended to s.text since from as the reply.
func (s *stage) answer(from int) {
	if s.flags&silent != 0 {
		s.text = s.text[:from]
	}
	flags := s.flags&^barrier | local
	s.entries = append(s.entries, staged{flags: flags, size: s.size, text: span{from, len(s.text)}})
}

func (s *stage) fail(message string) {
	s.errors++
	from := len(s.text)
	s.text = appendError(s.text, message)
	s.answer(from)
}

func (s *stage) simple(word string) {
	from := len(s.text)
	s.text = appendSimple(s.text, word)
	s.answer(from)
}

func (s *stage) bulk(b []byte) {
	from := len(s.text)
	s.text = appendBulk(s.text, b)
	s.answer(from)
}

func (s *stage) wrongArity(name string) {
	s.fail("ERR wrong number of arguments for '" + name + "' command")
}

func (s *stage) unknownSubcommand(of string, sub []byte) {
	s.fail("ERR unknown subcommand '" + clip(sub, 128) + "'. Try " + strings.ToUpper(of) + " HELP.")
}

// stranger answers a command that is not in the table: with what to do instead, if Redis knows it.
func (s *stage) stranger(args [][]byte) {
	name := clip(args[0], 128)
	if why, ok := s.index.refusals[strings.ToLower(name)]; ok {
		s.fail("ERR " + strings.ToUpper(name) + " is not supported: " + why)
		return
	}
	var b strings.Builder
	b.WriteString("ERR unknown command '" + name + "', with args beginning with: ")
	const most = 128
	for used, i := 0, 1; i < len(args) && used < most; i++ {
		word := clip(args[i], most-used)
		b.WriteString("'" + word + "' ")
		used += len(word) + 3
	}
	s.fail(b.String())
}

func clip(b []byte, most int) string { return string(b[:min(len(b), most)]) }

// keyOK fails the command if the key is none the store takes.
func (s *stage) keyOK(key []byte) bool {
	switch {
	case len(key) == 0:
		s.fail(textEmptyKey)
	case len(key) > wire.MaxKey:
		s.fail(textLongKey)
	default:
		return true
	}
	return false
}

// is reports whether a word is the upper-case one given, in any case.
func is(word []byte, upper string) bool {
	if len(word) != len(upper) {
		return false
	}
	for i, c := range word {
		if c >= 'a' && c <= 'z' {
			c -= 0x20
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}

// integer reads a decimal as strictly as Redis: no plus sign, no leading zero, no blanks.
func integer(b []byte) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(b) > 20 || digits[0] == '+' || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// natural is integer for numbers from 0 to 2^64-1.
func natural(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}
