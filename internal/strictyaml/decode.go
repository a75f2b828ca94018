package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Error is one finding.
type Error struct {
	Line   int    // from 1; 0 if it belongs to no line
	Text   string // what is wrong
	Source string // the line as it stands in the file, trimmed
}

// Error is the finding in one line: "line 3: unknown key ... (the line)".
func (e *Error) Error() string {
	s := e.Text
	if e.Line > 0 {
		s = fmt.Sprintf("line %d: %s", e.Line, s)
	}
	if e.Source != "" {
		s += fmt.Sprintf(" (%s)", e.Source)
	}
	return s
}

// Document tells where in the source things stand.
type Document struct {
	source []string
	lines  map[string]int
}

// Decode reads source into the struct that into points to, over what stands there already. Its
// errors are *Error, joined if there are several. The document is valid even then, as far as it was
// read.
func Decode(source []byte, into any) (*Document, error) {
	d := &Document{source: strings.Split(string(source), "\n"), lines: map[string]int{}}
	file, err := parser.ParseBytes(source, 0)
	if err != nil {
		return d, d.explain(err)
	}
	root, err := d.root(file)
	if err != nil || root == nil {
		return d, err
	}
	if err := d.walk(root, reflect.TypeOf(into), ""); err != nil {
		return d, err
	}
	if err := yaml.NodeToValue(root, into, yaml.Strict()); err != nil {
		return d, d.explain(err)
	}
	return d, nil
}

// root is the one document's mapping; nil if the file is empty.
func (d *Document) root(file *ast.File) (ast.Node, error) {
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			return nil, d.at(doc.Body, "a second document: one file, one document")
		default:
			root = doc.Body
		}
	}
	return root, nil
}

// Line is where a path like "replicas[1].stream" stands; if it has no key of its own, where what
// contains it stands; 0 if nothing of it is in the file.
func (d *Document) Line(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// Has reports whether a path has a place of its own in the file.
func (d *Document) Has(path string) bool { return d.lines[path] > 0 }

func (d *Document) at(n ast.Node, text string) *Error {
	line := 0
	if t := n.GetToken(); t != nil {
		line = t.Position.Line
	}
	return d.onLine(line, text)
}

func (d *Document) onLine(line int, text string) *Error {
	e := &Error{Line: line, Text: text}
	if line >= 1 && line <= len(d.source) {
		e.Source = strings.TrimSpace(d.source[line-1])
	}
	return e
}

// explain turns the YAML library's error into one line.
func (d *Document) explain(err error) error {
	var ye yaml.Error
	if !errors.As(err, &ye) || ye.GetToken() == nil {
		return &Error{Text: err.Error()}
	}
	text, _, _ := strings.Cut(ye.GetMessage(), "\n")
	return d.onLine(ye.GetToken().Position.Line, text)
}
