package resp

import "bytes"

// glob reports whether s matches a pattern of *, ?, [a-z], [^a-z] and \x, as Redis's KEYS and SCAN
// do. It never backs up further than to the last star, so that no pattern costs more than
// len(pattern) * len(s) steps.
func glob(pattern, s []byte) bool {
	star, mark := -1, 0 // where to try again: after this star, with one byte more taken by it
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if next, ok := globOne(pattern, p, s[i]); ok {
			p = next
			i++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globOne matches one byte with what stands at p, and says what comes next.
func globOne(pattern []byte, p int, c byte) (next int, ok bool) {
	if p == len(pattern) {
		return p, false
	}
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return globSet(pattern, p+1, c)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, pattern[p] == c
}

// globSet matches one byte with the set that starts after '['. A set that is not closed ends with
// the pattern.
func globSet(pattern []byte, p int, c byte) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	found := false
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		switch {
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			found = found || pattern[p] == c
		case p+2 < len(pattern) && pattern[p+1] == '-':
			low, high := pattern[p], pattern[p+2]
			p += 2
			found = found || min(low, high) <= c && c <= max(low, high)
		default:
			found = found || pattern[p] == c
		}
	}
	return min(p+1, len(pattern)), found != not
}

// literalPrefix is what every match of the pattern starts with.
func literalPrefix(pattern []byte) []byte {
	if i := bytes.IndexAny(pattern, "*?[\\"); i >= 0 {
		return pattern[:i]
	}
	return pattern
}
