package access

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
)

// maxHeader bounds the Authorization header: a name, a password and a token are far below it.
const maxHeader = 512

// errHeader is the one answer to every header that is not Basic; RFC 7617 is all there is to read.
var errHeader = errors.New("the Authorization header is not that of HTTP Basic (RFC 7617)")

// strictBase64 has one spelling for every text.
var strictBase64 = base64.StdEncoding.Strict()

// login is what a request's header claims.
type login struct {
	buf        [maxHeader]byte // user, colon, password
	colon, end int             // indexes, for slices of itself would move it to the heap
}

func (l *login) user() []byte     { return l.buf[:l.colon] }
func (l *login) password() []byte { return l.buf[l.colon+1 : l.end] }

// parse reads an Authorization header into l, without copying it to the heap.
func (l *login) parse(header string) error {
	const scheme = "basic "
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return errHeader
	}
	encoded := strings.Trim(header[len(scheme):], " ")
	if strictBase64.DecodedLen(len(encoded)) > len(l.buf) || strings.ContainsAny(encoded, "\r\n") {
		return errHeader
	}
	var in [maxHeader * 2]byte
	n, err := strictBase64.Decode(l.buf[:], in[:copy(in[:], encoded)])
	if err != nil {
		return errHeader
	}
	colon := bytes.IndexByte(l.buf[:n], ':')
	if colon <= 0 {
		return errHeader
	}
	l.colon, l.end = colon, n
	return nil
}

// plausible reports whether anybody could have this password. bcrypt's comparison takes everything after
// 72 bytes for right, so what is longer must never reach it; a NUL cannot be in a password that was set.
func (l *login) plausible() bool {
	p := l.password()
	return len(p) > 0 && len(p) <= MaxPassword && bytes.IndexByte(p, 0) < 0
}

// isToken reports whether a machine secret is claimed.
func (l *login) isToken() bool { return bytes.HasPrefix(l.password(), []byte(tokenPrefix)) }
