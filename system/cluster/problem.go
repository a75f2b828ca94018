package cluster

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a configuration, or remarkable.
type Problem struct {
	Line int    // in the file; 0 if nothing of it is there
	Path string // what it is about: replicas[1].stream
	Text string // what is wrong, and what to do
}

// String is the problem in one line.
func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("line %d: %s: %s", p.Line, p.Path, p.Text)
	}
	return fmt.Sprintf("%s: %s", p.Path, p.Text)
}

// Problems is the error of a configuration that is not valid: everything that is wrong with it.
type Problems []Problem

// Error lists the problems, one a line if there are several.
func (ps Problems) Error() string {
	if len(ps) == 1 {
		return ps[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems:", len(ps))
	for _, p := range ps {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// check gathers problems.
type check struct {
	c        *Config
	problems Problems
	warnings Problems
}

func (k *check) problem(path, format string, args ...any) Problem {
	p := Problem{Path: path, Text: fmt.Sprintf(format, args...)}
	if k.c.doc != nil {
		p.Line = k.c.doc.Line(path)
	}
	return p
}

// wrong notes a problem.
func (k *check) wrong(path, format string, args ...any) {
	k.problems = append(k.problems, k.problem(path, format, args...))
}

// warn notes what is allowed and probably not meant.
func (k *check) warn(path, format string, args ...any) {
	k.warnings = append(k.warnings, k.problem(path, format, args...))
}

// between notes a value that is out of its range.
func (k *check) between(path string, value, least, most int64) {
	if value < least || value > most {
		k.wrong(path, "%d: use %d to %d", value, least, most)
	}
}

// oneOf notes a word that is none of the known ones.
func (k *check) oneOf(path, word string, known ...string) bool {
	for _, w := range known {
		if word == w {
			return true
		}
	}
	last := len(known) - 1
	k.wrong(path, "%q: use %s or %s", word, strings.Join(known[:last], ", "), known[last])
	return false
}

// sized is between, for sizes.
func (k *check) sized(path string, value, least, most Bytes) {
	if value < least || value > most {
		k.wrong(path, "%v: use %v to %v", value, least, most)
	}
}
