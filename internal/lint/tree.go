package lint

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the import path of the repository's root.
const module = "metronome"

// Finding is one place that breaks a rule.
type Finding struct {
	Path string // slash-separated, from the repository's root
	Line int    // from 1; 0 means the whole file or folder
	Why  string // what is wrong and what to do
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Why) }

// Tree holds the text files of the repository.
type Tree struct {
	Files   []*File
	folders map[string]bool
}

// File is one text file; Go files are parsed.
type File struct {
	Path    string
	Text    string
	Imports []Import
	AST     *ast.File // nil if the file is not Go
	fset    *token.FileSet
}

// Import is one import of a Go file.
type Import struct {
	Path string
	Line int
}

// Rule is one law.
type Rule struct {
	Name  string
	Check func(*Tree) []Finding
}

// skipped says which folders are no part of what is committed: git's own, what is built, and what runs
// left, of which only the reference is kept.
func skipped(dir string) bool {
	parts := strings.Split(dir, "/")
	switch {
	case dir == ".git" || dir == "bin":
		return true
	case len(parts) == 3 && parts[0] == "results":
		return parts[2] != "reference"
	}
	return false
}

// Load reads every text file of fsys, the repository's root. A file counts as text if it has no NUL
// byte, and so does a compressed table. A Go file that does not parse is an error.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{folders: map[string]bool{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(name):
			return fs.SkipDir
		case d.IsDir():
			t.folders[name] = true
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		return t.add(fsys, name)
	})
	return t, err
}

func (t *Tree) add(fsys fs.FS, name string) error {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, ".csv.gz") { // a large table of results: text all the same
		if text, err = gunzip(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	f := &File{Path: name, Text: string(text)}
	if strings.Contains(f.Text, "\x00") {
		f.Text = "" // known to exist, for links, but not read
	}
	if strings.HasSuffix(name, ".go") {
		if err := f.parse(); err != nil {
			return err
		}
	}
	t.Files = append(t.Files, f)
	return nil
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func (f *File) parse() (err error) {
	f.fset = token.NewFileSet()
	if f.AST, err = parser.ParseFile(f.fset, f.Path, f.Text, parser.ParseComments); err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	for _, spec := range f.AST.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it
		f.Imports = append(f.Imports, Import{Path: p, Line: f.line(spec)})
	}
	return nil
}

func (f *File) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// Package is the folder of the file.
func (f *File) Package() string { return path.Dir(f.Path) }

// IsTest reports whether the file is compiled into tests only.
func (f *File) IsTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

// goFiles yields the Go files that are part of the module's packages.
func (t *Tree) goFiles() []*File {
	return slices.DeleteFunc(slices.Clone(t.Files), func(f *File) bool {
		return f.AST == nil || strings.Contains(f.Path, "testdata/")
	})
}

func (t *Tree) exists(name string) bool {
	return t.folders[name] || slices.ContainsFunc(t.Files, func(f *File) bool { return f.Path == name })
}

// under reports whether pkg is dir or lies in it.
func under(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

func underAny(pkg string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return under(pkg, d) })
}
