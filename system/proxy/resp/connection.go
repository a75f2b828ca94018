package resp

// The commands on the connection itself.

func (s *stage) ping(args [][]byte) {
	switch len(args) {
	case 1:
		s.simple("PONG")
	case 2:
		s.bulk(args[1])
	default:
		s.wrongArity("ping")
	}
}

func (s *stage) echo(args [][]byte) { s.bulk(args[1]) }

func (s *stage) selectDB(args [][]byte) {
	switch n, ok := integer(args[1]); {
	case !ok:
		s.fail(textNotInteger)
	case n != 0:
		s.fail("ERR DB index is out of range")
	default:
		s.simple("OK")
	}
}

func (s *stage) quit([][]byte) {
	s.simple("OK")
	s.closing = true
}

func (s *stage) reset([][]byte) {
	s.state = s.conn.defaults()
	s.flags = 0
	s.simple("RESET")
}

func (s *stage) auth(args [][]byte) {
	user, password := []byte(defaultUser), args[1]
	switch {
	case len(args) > 3:
		s.fail(textSyntax)
		return
	case len(args) == 3:
		user, password = args[1], args[2]
	case !s.conn.needsAuth():
		s.fail("ERR AUTH <password> called without any password configured for the default user. Are you sure" +
			" your configuration is correct?")
		return
	}
	if s.login(user, password) {
		s.simple("OK")
	}
}

// login changes who the client is, or fails the command.
func (s *stage) login(user, password []byte) bool {
	ok := string(user) == defaultUser // where nobody needs a password, any will do
	if s.conn.needsAuth() {
		ok = s.conn.judge(user, password)
	}
	if !ok {
		s.fail(textWrongPass)
		return false
	}
	s.authenticated, s.user = true, string(user)
	return true
}

// hello is HELLO [protocol [AUTH user password] [SETNAME name]].
func (s *stage) hello(args [][]byte) {
	proto := s.proto
	if len(args) > 1 {
		n, ok := integer(args[1])
		switch {
		case !ok:
			s.fail("ERR Protocol version is not an integer or out of range")
			return
		case n != 2 && n != 3:
			s.fail("NOPROTO unsupported protocol version")
			return
		}
		proto = uint8(n)
	}
	name, named, ok := s.helloOptions(args[min(2, len(args)):])
	switch {
	case !ok:
		return
	case !s.authenticated:
		s.fail("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO" +
			" AUTH <user> <pass> option can be used to authenticate the client and select the RESP" +
			" protocol version at the same time")
		return
	case named:
		s.name = string(name)
	}
	s.proto = proto
	s.begin(nil)
	s.greet()
}

func (s *stage) helloOptions(words [][]byte) (name []byte, named, ok bool) {
	for len(words) > 0 {
		switch {
		case is(words[0], "AUTH") && len(words) > 2:
			if !s.login(words[1], words[2]) {
				return nil, false, false
			}
			words = words[3:]
		case is(words[0], "SETNAME") && len(words) > 1:
			if !plain(words[1]) {
				s.fail(textBadName)
				return nil, false, false
			}
			name, named = words[1], true
			words = words[2:]
		default:
			s.fail("ERR Syntax error in HELLO option '" + clip(words[0], 128) + "'")
			return nil, false, false
		}
	}
	return name, named, true
}

const textBadName = "ERR Client names cannot contain spaces, newlines or special characters."

// compatible is the version of Redis whose behaviour is imitated.
const compatible = "7.0.15"

func (s *stage) greet() {
	from := len(s.text)
	t := appendMap(s.text, s.proto, 7)
	t = appendBulk(appendBulk(t, "server"), "redis")
	t = appendBulk(appendBulk(t, "version"), compatible)
	t = appendInt(appendBulk(t, "proto"), int64(s.proto))
	t = appendInt(appendBulk(t, "id"), int64(s.conn.id))
	t = appendBulk(appendBulk(t, "mode"), "standalone")
	t = appendBulk(appendBulk(t, "role"), "master")
	t = appendArray(appendBulk(t, "modules"), 0)
	s.text = t
	s.answer(from)
}

// client is CLIENT subcommand….
func (s *stage) client(args [][]byte) {
	sub, n := args[1], len(args)
	switch {
	case is(sub, "ID") && n == 2:
		from := len(s.text)
		s.text = appendInt(s.text, int64(s.conn.id))
		s.answer(from)
	case is(sub, "GETNAME") && n == 2:
		s.getName()
	case is(sub, "SETNAME") && n == 3:
		s.setName(args[2])
	case is(sub, "SETINFO") && n == 4:
		s.setInfo(args[2], args[3])
	case is(sub, "INFO") && n == 2:
		s.bulk([]byte(s.conn.describe(&s.state) + "\n"))
	case is(sub, "LIST"):
		s.bulk([]byte(s.conn.describe(&s.state) + "\n"))
	case is(sub, "REPLY") && n == 3:
		s.replies(args[2])
	case (is(sub, "NO-EVICT") || is(sub, "NO-TOUCH")) && n == 3 && (is(args[2], "ON") || is(args[2], "OFF")):
		s.simple("OK")
	case is(sub, "KILL"):
		s.fail("ERR CLIENT KILL is not supported: no client may end another")
	default:
		s.badSubcommand("client", sub, "id", "getname", "setname", "setinfo", "info", "reply", "no-evict",
			"no-touch")
	}
}

// badSubcommand tells a stranger from one of the known ones with the wrong number of words.
func (s *stage) badSubcommand(of string, sub []byte, known ...string) {
	for _, k := range known {
		if len(sub) == len(k) && string(lower(sub)) == k {
			s.wrongArity(of + "|" + k)
			return
		}
	}
	s.unknownSubcommand(of, sub)
}

func lower(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		out[i] = c
	}
	return out
}

func (s *stage) getName() {
	from := len(s.text)
	s.text = appendValue(s.text, s.proto, s.name != "", []byte(s.name))
	s.answer(from)
}

func (s *stage) setName(name []byte) {
	if !plain(name) {
		s.fail(textBadName)
		return
	}
	s.name = string(name)
	s.simple("OK")
}

// setInfo is CLIENT SETINFO LIB-NAME|LIB-VER value.
func (s *stage) setInfo(field, value []byte) {
	switch {
	case !plain(value):
		s.fail("ERR " + string(lower(field)) + " cannot contain spaces, newlines or special characters.")
		return
	case is(field, "LIB-NAME"):
		s.library = string(value)
	case is(field, "LIB-VER"):
		s.version = string(value)
	default:
		s.fail("ERR Unrecognized option '" + clip(field, 128) + "'")
		return
	}
	s.simple("OK")
}

func (s *stage) replies(mode []byte) {
	switch {
	case is(mode, "ON"):
		s.mode = replyOn
		s.flags &^= silent
		s.simple("OK")
	case is(mode, "OFF"):
		s.mode = replyOff
		s.flags |= silent
		s.answer(len(s.text))
	case is(mode, "SKIP"):
		if s.mode != replyOff {
			s.mode = replySkipNext
		}
		s.flags |= silent
		s.answer(len(s.text))
	default:
		s.fail(textSyntax)
	}
}

// plain reports whether b may stand in a line of CLIENT LIST: printable, without blanks, not
// endless.
func plain(b []byte) bool {
	for _, c := range b {
		if c < '!' || c > '~' {
			return false
		}
	}
	return len(b) <= 256
}
