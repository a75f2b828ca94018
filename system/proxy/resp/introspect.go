package resp

import "strings"

// What clients ask about the server: COMMAND, CONFIG GET and INFO.

func (s *stage) command(args [][]byte) {
	from := len(s.text)
	if len(args) == 1 {
		s.text = s.index.appendRows(s.text, s.proto)
		s.answer(from)
		return
	}
	sub, names := args[1], args[2:]
	switch {
	case is(sub, "COUNT") && len(names) == 0:
		s.text = appendInt(s.text, int64(len(s.index.rows)))
	case is(sub, "LIST") && len(names) == 0:
		s.text = appendArray(s.text, len(s.index.rows))
		for i := range s.index.rows {
			s.text = appendBulk(s.text, s.index.rows[i].name)
		}
	case is(sub, "INFO") && len(names) == 0:
		s.text = s.index.appendRows(s.text, s.proto)
	case is(sub, "INFO"):
		s.text = appendArray(s.text, len(names))
		for _, name := range names {
			s.text = s.index.find(name).appendRow(s.text, s.proto)
		}
	case is(sub, "DOCS"):
		s.text = s.index.appendDocs(s.text, s.proto, names)
	case is(sub, "GETKEYS") && len(names) > 1:
		s.getKeys(names)
		return
	default:
		s.badSubcommand("command", sub, "count", "list", "getkeys")
		return
	}
	s.answer(from)
}

func (x *index) appendRows(dst []byte, proto uint8) []byte {
	dst = appendArray(dst, len(x.rows))
	for i := range x.rows {
		dst = x.rows[i].appendRow(dst, proto)
	}
	return dst
}

// appendRow writes a command's row of COMMAND INFO, with the ten fields of Redis 7; nil for a
// stranger.
func (c *command) appendRow(dst []byte, proto uint8) []byte {
	if c == nil {
		return appendNil(dst, proto)
	}
	dst = appendBulk(appendArray(dst, 10), c.name)
	dst = appendInt(dst, int64(c.arity))
	flag := ""
	switch {
	case c.flags&read != 0:
		flag = "readonly"
	case c.flags&write != 0:
		flag = "write"
	case c.flags&open != 0:
		flag = "no_auth"
	}
	if flag == "" {
		dst = appendArray(dst, 0)
	} else {
		dst = appendSimple(appendArray(dst, 1), flag)
	}
	for _, n := range []int{c.first, c.last, c.step} {
		dst = appendInt(dst, int64(n))
	}
	for range 4 { // access categories, tips, key specifications, subcommands
		dst = appendArray(dst, 0)
	}
	return dst
}

// appendDocs writes what redis-cli shows as help; of all commands if none is named.
func (x *index) appendDocs(dst []byte, proto uint8, names [][]byte) []byte {
	var rows []*command
	for i := range x.rows {
		if len(names) == 0 {
			rows = append(rows, &x.rows[i])
		}
	}
	for _, name := range names {
		if c := x.find(name); c != nil {
			rows = append(rows, c)
		}
	}
	dst = appendMap(dst, proto, len(rows))
	for _, c := range rows {
		dst = appendMap(appendBulk(dst, c.name), proto, 3)
		dst = appendBulk(appendBulk(dst, "summary"), c.summary)
		dst = appendBulk(appendBulk(dst, "since"), "1.0.0")
		dst = appendBulk(appendBulk(dst, "group"), c.group)
	}
	return dst
}

func (s *stage) getKeys(words [][]byte) {
	c := s.index.find(words[0])
	switch {
	case c == nil:
		s.fail("ERR Invalid command specified")
	case c.step == 0:
		s.fail("ERR The command has no key arguments")
	case !c.takes(len(words)):
		s.fail("ERR Invalid number of arguments specified for command")
	default:
		s.listKeys(c, words)
	}
}

func (s *stage) listKeys(c *command, words [][]byte) {
	from, last := len(s.text), c.last
	if last < 0 {
		last += len(words)
	}
	s.text = appendArray(s.text, (last-c.first)/c.step+1)
	for i := c.first; i <= last; i += c.step {
		s.text = appendBulk(s.text, words[i])
	}
	s.answer(from)
}

// config is CONFIG GET pattern…; nothing can be set by clients.
func (s *stage) config(args [][]byte) {
	switch {
	case is(args[1], "SET"), is(args[1], "REWRITE"), is(args[1], "RESETSTAT"):
		s.fail("ERR CONFIG " + strings.ToUpper(string(args[1])) +
			" is not supported: the configuration is a file and replicated state")
		return
	case !is(args[1], "GET") || len(args) < 3:
		s.badSubcommand("config", args[1], "get")
		return
	}
	var found []parameter
	for _, p := range s.conn.parameters() {
		for _, pattern := range args[2:] {
			if glob(lower(pattern), []byte(p.name)) {
				found = append(found, p)
				break
			}
		}
	}
	from := len(s.text)
	s.text = appendMap(s.text, s.proto, len(found))
	for _, p := range found {
		s.text = appendBulk(appendBulk(s.text, p.name), p.value)
	}
	s.answer(from)
}

// infoSections are the sections of INFO in order; those that nobody fills are left out.
func infoSections() []string {
	return []string{"server", "clients", "memory", "stats", "replication", "metronome"}
}

// info is INFO [section…].
func (s *stage) info(args [][]byte) {
	var out []byte
	for _, section := range infoSections() {
		if !wanted(section, args[1:]) {
			continue
		}
		body := s.conn.appendInfo(nil, section)
		if len(body) == 0 {
			continue
		}
		if len(out) > 0 {
			out = append(out, "\r\n"...)
		}
		out = append(out, "# "+strings.ToUpper(section[:1])+section[1:]+"\r\n"...)
		out = append(out, body...)
	}
	s.bulk(out)
}

func wanted(section string, words [][]byte) bool {
	for _, w := range words {
		if is(w, "ALL") || is(w, "DEFAULT") || is(w, "EVERYTHING") || string(lower(w)) == section {
			return true
		}
	}
	return len(words) == 0
}
