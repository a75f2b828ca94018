package resp

import "bytes"

// number reads a decimal and its CRLF: the value, where it ends, and ready, more or broken.
func number(b []byte, at int) (n, next int, v verdict) {
	first, negative := at, false
	if at < len(b) && b[at] == '-' {
		negative = true
		first++
	}
	for i := first; i < len(b); i++ {
		c := b[i]
		switch {
		case c >= '0' && c <= '9' && i-first < maxDigits:
			n = 10*n + int(c-'0')
		case c == '\r' && i > first && i+1 == len(b):
			return 0, at, more
		case c == '\r' && i > first && b[i+1] == '\n':
			if negative {
				n = -n
			}
			return n, i + 2, ready
		default:
			return 0, at, broken
		}
	}
	return 0, at, more
}

// splitWords cuts a line at its blanks, as Redis does: "…" may hold \n \r \t \b \a \xHH and an
// escaped anything, '…' only \'. Words are unquoted in place: they are slices of the line, which is
// never shorter than what it says. It fails on a quote that is not closed, or is closed within a
// word.
func splitWords(words [][]byte, line []byte) ([][]byte, bool) {
	out := line[:0]
	for {
		line = bytes.TrimLeft(line, " \t\n\v\f\r\x00")
		if len(line) == 0 {
			return words, true
		}
		from, ok := len(out), false
		if out, line, ok = word(out, line); !ok {
			return words, false
		}
		words = append(words, out[from:len(out):len(out)])
	}
}

// word appends the word that line starts with to out, and returns what follows it.
func word(out, line []byte) (_, rest []byte, ok bool) {
	for i, c := range line {
		switch c {
		case '"', '\'':
			out, rest, ok = quoted(out, line[i+1:], c)
			return out, rest, ok && (len(rest) == 0 || blank(rest[0]))
		case ' ', '\t', '\n', '\v', '\f', '\r', 0:
			return out, line[i:], true
		}
		out = append(out, c)
	}
	return out, nil, true
}

func quoted(out, line []byte, quote byte) (_, rest []byte, ok bool) {
	for i := 0; i < len(line); i++ {
		if line[i] == quote {
			return out, line[i+1:], true
		}
		c, size := unescape(line[i:], quote)
		out = append(out, c)
		i += size - 1
	}
	return out, nil, false
}

// unescape reads a byte within quotes, escaped or not, and the bytes it takes.
func unescape(b []byte, quote byte) (c byte, size int) {
	switch {
	case b[0] != '\\' || len(b) == 1:
		return b[0], 1
	case quote == '\'' && b[1] == '\'':
		return '\'', 2
	case quote == '\'':
		return '\\', 1
	case b[1] == 'x' && len(b) >= 4 && hex(b[2]) >= 0 && hex(b[3]) >= 0:
		return byte(hex(b[2])<<4 | hex(b[3])), 4
	}
	return control(b[1]), 2
}

func control(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func blank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0 }

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// printable is c, or '?' where it would garble an error message.
func printable(c byte) byte {
	if c < ' ' || c > '~' {
		return '?'
	}
	return c
}
