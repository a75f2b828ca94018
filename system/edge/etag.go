package edge

import (
	"net/http"
	"strconv"
	"strings"
)

// etag is a revision as an entity tag.
func etag(revision uint64) string {
	return string(appendETag(nil, revision))
}

func appendETag(b []byte, revision uint64) []byte {
	b = append(b, '"')
	b = strconv.AppendUint(b, revision, 10)
	return append(b, '"')
}

// Entity tags in one condition at most.
const maxTags = 16

// condition reads a condition's header. weak tells that a tag of a cache, W/"…", is as good.
func condition(h http.Header, name string, weak bool) (c Condition, err error) {
	lines := h.Values(name)
	if len(lines) == 0 {
		return c, nil
	}
	bad := NewProblem("invalid-condition", name+` is "*", or ETags as this edge sends them, like "17".`)
	text := strings.TrimSpace(strings.Join(lines, ","))
	if text == "*" {
		return Condition{Any: true}, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if weak {
			part = strings.TrimPrefix(part, "W/")
		}
		revision, ok := unquote(part)
		if !ok || len(c.Revisions) == maxTags {
			return Condition{}, bad
		}
		c.Revisions = append(c.Revisions, revision)
	}
	return c, nil
}

// unquote reads an entity tag.
func unquote(s string) (uint64, bool) {
	if len(s) < 3 || s[0] != '"' || s[len(s)-1] != '"' {
		return 0, false
	}
	return revisionOf(s[1 : len(s)-1])
}

// revisionOf reads a revision as we write it: without sign or leading zeroes.
func revisionOf(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n > 0 && s[0] >= '1' && s[0] <= '9'
}

// conditionOf reads a condition of a batch: "*", or a revision with or without quotes.
func conditionOf(s string) (Condition, bool) {
	if s == "" {
		return Condition{}, true
	}
	if s == "*" {
		return Condition{Any: true}, true
	}
	revision, ok := unquote(s)
	if !ok {
		revision, ok = revisionOf(s)
	}
	return Condition{Revisions: []uint64{revision}}, ok
}
