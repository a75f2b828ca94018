package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

// walk compares the tree with the type it is read into, notes where everything stands, and reports
// every key that the type does not have.
func (d *Document) walk(n ast.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode:
		return d.at(n, "anchors and aliases are not supported: write it out")
	case *ast.TagNode:
		return d.at(n, "tags are not supported: leave it out")
	case *ast.NullNode:
		return nil // a key without a value keeps what was there
	case *ast.MappingNode:
		if k := t.Kind(); k == reflect.Struct || k == reflect.Map {
			return d.mapping(n, t, path)
		}
	case *ast.SequenceNode:
		if t.Kind() == reflect.Slice {
			return d.sequence(n, t, path)
		}
	}
	return d.scalar(n, t)
}

// scalar tries the value alone, so that its error can say what is wanted and not which Go type.
func (d *Document) scalar(n ast.Node, t reflect.Type) error {
	err := yaml.NodeToValue(n, reflect.New(t).Interface(), yaml.Strict())
	switch {
	case err == nil:
		return nil
	case reflect.PointerTo(t).Implements(textual):
		return d.at(n, err.Error())
	}
	return d.at(n, "want "+wanted(t))
}

// wanted says what a type is, to people.
func wanted(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration with its unit, as in 20ms"
	case k >= reflect.Int && k <= reflect.Int64:
		return "a whole number"
	case k >= reflect.Uint && k <= reflect.Uint64:
		return "a whole number, not negative"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Slice:
		return "a list"
	case k == reflect.Struct || k == reflect.Map:
		return "keys with values"
	}
	return "text"
}

func (d *Document) mapping(n *ast.MappingNode, t reflect.Type, path string) error {
	var errs []error
	for _, v := range n.Values {
		key := keyText(v.Key)
		at := key
		if path != "" {
			at = path + "." + key
		}
		if tok := v.Key.GetToken(); tok != nil {
			d.lines[at] = tok.Position.Line
		}
		inner, err := d.field(v, t, key)
		if err == nil {
			err = d.walk(v.Value, inner, at)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// keyText is a key without its quotes.
func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	return k.String()
}

// field is the type that a key's value is read into.
func (d *Document) field(v *ast.MappingValueNode, t reflect.Type, key string) (reflect.Type, error) {
	switch {
	case v.Key.IsMergeKey():
		return nil, d.at(v.Key, "merging is not supported: write it out")
	case t.Kind() == reflect.Map:
		return t.Elem(), nil
	}
	var known []string
	for _, f := range reflect.VisibleFields(t) { // those of inlined structs too
		name := keyOf(f)
		if name == key {
			return f.Type, nil
		}
		if name != "" {
			known = append(known, name)
		}
	}
	return nil, d.at(v.Key, unknown(key, known))
}

func unknown(key string, known []string) string {
	text := fmt.Sprintf("unknown key %q", key)
	if near := Nearest(key, known); near != "" {
		return text + fmt.Sprintf(": did you mean %s?", near)
	}
	return text + ": there is " + strings.Join(known, ", ")
}

// keyOf is a field's key, or "" if it has none.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

func (d *Document) sequence(n *ast.SequenceNode, t reflect.Type, path string) error {
	var errs []error
	for i, v := range n.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		if tok := v.GetToken(); tok != nil {
			d.lines[at] = tok.Position.Line
		}
		errs = append(errs, d.walk(v, t.Elem(), at))
	}
	return errors.Join(errs...)
}
