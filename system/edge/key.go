package edge

import (
	"errors"
	"fmt"
	"strings"
)

// CheckKey says what is wrong with a key, or nothing.
func CheckKey(key []byte) error {
	switch {
	case len(key) == 0:
		return errors.New("the key is empty: name one, like home/lamp/power")
	case len(key) > MaxKey:
		return fmt.Errorf("the key has %d bytes; at most %d are allowed", len(key), MaxKey)
	}
	for segment := range strings.SplitSeq(string(key), "/") {
		switch segment {
		case "":
			return errors.New("the key has an empty segment: no slash at either end, nor two in a row")
		case ".", "..":
			return fmt.Errorf("the key has a segment %q, which programs on the way may rewrite", segment)
		}
	}
	return nil
}

// ParseKey decodes a key from an escaped path, as it was sent.
func ParseKey(escaped string) ([]byte, error) {
	key, err := unescape(escaped)
	if err != nil {
		return nil, err
	}
	return key, CheckKey(key)
}

func unescape(s string) ([]byte, error) {
	if !strings.Contains(s, "%") {
		return []byte(s), nil
	}
	key := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			key = append(key, s[i])
			continue
		}
		high, low := nibble(s, i+1), nibble(s, i+2)
		if high < 0 || low < 0 {
			return nil, errors.New("a percent sign must be followed by two hexadecimal digits")
		}
		key = append(key, byte(high<<4|low))
		i += 2
	}
	return key, nil
}

// nibble is the hexadecimal digit at i, or -1.
func nibble(s string, i int) int {
	if i >= len(s) {
		return -1
	}
	switch c := s[i]; {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// named reports whether s can name a session or an instance.
func named(s string) bool {
	if len(s) == 0 || len(s) > MaxSession {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
