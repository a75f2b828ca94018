package spec

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"

	"metronome/internal/strictyaml"
)

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
		if near := strictyaml.Nearest(m[1], keys(declaration, nil)); near != "" {
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
