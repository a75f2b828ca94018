package resp

import "strconv"

// What RESP is made of. proto is 2 or 3; only nil, maps and sets differ.

func appendHead(dst []byte, kind byte, n int64) []byte {
	dst = append(dst, kind)
	if n >= 0 && n < 10 {
		return append(dst, byte('0'+n), '\r', '\n')
	}
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

func appendInt(dst []byte, n int64) []byte { return appendHead(dst, ':', n) }

func appendArray(dst []byte, n int) []byte { return appendHead(dst, '*', int64(n)) }

func appendMap(dst []byte, proto uint8, pairs int) []byte {
	if proto == 3 {
		return appendHead(dst, '%', int64(pairs))
	}
	return appendArray(dst, 2*pairs)
}

func appendBulk[T []byte | string](dst []byte, b T) []byte {
	dst = appendHead(dst, '$', int64(len(b)))
	dst = append(dst, b...)
	return append(dst, '\r', '\n')
}

func appendNil(dst []byte, proto uint8) []byte {
	if proto == 3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

func appendSimple(dst []byte, s string) []byte {
	dst = append(dst, '+')
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// appendError writes a message that begins with its prefix. Line ends, which clients may have sent,
// become blanks.
func appendError(dst []byte, message string) []byte {
	dst = append(dst, '-')
	for i := range len(message) {
		c := message[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		dst = append(dst, c)
	}
	return append(dst, '\r', '\n')
}
