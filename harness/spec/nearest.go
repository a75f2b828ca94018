package spec

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Nearest is the candidate closest to name by edit distance, or "" if none is close enough to have
// been meant.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", max(2, len(name)/2)+1
	for _, c := range candidates {
		if d := distance(name, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// explain turns the YAML library's error into one line: where, what, and the nearest key that
// exists.
func explain(err error, source []byte, declaration reflect.Type) error {
	var se yaml.Error
	if !errors.As(err, &se) || se.GetToken() == nil {
		return err
	}
	line := se.GetToken().Position.Line
	msg, _, _ := strings.Cut(se.GetMessage(), "\n")
	if m := unknownField.FindStringSubmatch(msg); m != nil {
		msg = fmt.Sprintf("unknown key %q", m[1])
		if near := Nearest(m[1], keys(declaration, nil)); near != "" {
			msg += fmt.Sprintf(": did you mean %s?", near)
		}
	}
	text := ""
	if lines := strings.Split(string(source), "\n"); line >= 1 && line <= len(lines) {
		text = fmt.Sprintf(" (%s)", strings.TrimSpace(lines[line-1]))
	}
	return fmt.Errorf("line %d: %s%s", line, msg, text)
}

// keys collects every YAML key of a type and of what it contains.
func keys(t reflect.Type, into []string) []string {
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return keys(t.Elem(), into)
	case reflect.Struct:
		for f := range t.Fields() {
			if key := f.Tag.Get("yaml"); key != "" {
				into = keys(f.Type, append(into, key))
			}
		}
	}
	return into
}
