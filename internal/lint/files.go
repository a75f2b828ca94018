package lint

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxLines bounds a Go file: beyond it, a file holds more than one idea.
const maxLines = 600

// The patterns are put together so that this file does not match them.
var (
	unfinished  = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	machinePath = regexp.MustCompile(`(?:^|[\s"'=(:,])` +
		`(/(?:ro` + `ot|ho` + `me|wo` + `rk|Us` + `ers)/\w[^\s"')]*)`)
	markdownTo = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	codeFence  = regexp.MustCompile("(?ms)^```.*?^```")
	codeSpan   = regexp.MustCompile("`[^`\n]*`")
	citedTest  = regexp.MustCompile("`(?:(\\w+)\\.)?((?:Test|Fuzz|Benchmark)[A-Z]\\w*)(…?)`")
)

func packagesAreDocumented(t *Tree) (found []Finding) {
	documented := map[string]bool{}
	for _, f := range t.goFiles() {
		if !f.IsTest() || !documented[f.Package()] {
			documented[f.Package()] = documented[f.Package()] || f.AST.Doc != nil
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(documented)) {
		if !documented[pkg] {
			why := "no package comment: write a doc.go a newcomer understands"
			found = append(found, Finding{pkg, 0, why})
		}
	}
	return found
}

func filesAreShort(t *Tree) (found []Finding) {
	for _, f := range t.goFiles() {
		if n := strings.Count(f.Text, "\n"); n > maxLines {
			why := fmt.Sprintf("longer than %d lines: one idea a file", maxLines)
			found = append(found, Finding{f.Path, n, why})
		}
	}
	return found
}

// matching returns a finding for every line of the wanted files that the pattern matches; why is
// completed with the pattern's group.
func (t *Tree) matching(pattern *regexp.Regexp, why string, wanted func(*File) bool) (found []Finding) {
	for _, f := range t.Files {
		if !wanted(f) {
			continue
		}
		for i, line := range strings.Split(f.Text, "\n") {
			if m := pattern.FindStringSubmatch(line); m != nil {
				found = append(found, Finding{f.Path, i + 1, fmt.Sprintf(why, m[1])})
			}
		}
	}
	return found
}

func nothingIsUnfinished(t *Tree) []Finding {
	return t.matching(unfinished, "%s: finish it, or open an issue", func(f *File) bool {
		return f.Path != "LICENSE" && !strings.HasPrefix(path.Base(f.Path), "go.")
	})
}

func noMachinePaths(t *Tree) []Finding {
	return t.matching(machinePath, "%s exists on one machine only", func(*File) bool { return true })
}

func linksResolve(t *Tree) (found []Finding) {
	for _, f := range t.Files {
		if path.Ext(f.Path) != ".md" {
			continue
		}
		for i, line := range strings.Split(withoutCode(f.Text), "\n") {
			for _, m := range markdownTo.FindAllStringSubmatch(line, -1) {
				if to, _, _ := strings.Cut(m[1], "#"); !t.linkExists(f, to) {
					why := "link to " + to + ", which does not exist"
					found = append(found, Finding{f.Path, i + 1, why})
				}
			}
		}
	}
	return found
}

func (t *Tree) linkExists(from *File, to string) bool {
	return to == "" || strings.Contains(to, ":") || t.exists(path.Join(from.Package(), to))
}

// withoutCode blanks fenced blocks and code spans of Markdown, keeping its lines.
func withoutCode(text string) string {
	text = codeFence.ReplaceAllStringFunc(text, func(block string) string {
		return strings.Repeat("\n", strings.Count(block, "\n"))
	})
	return codeSpan.ReplaceAllString(text, "")
}

func experimentsAreWhole(t *Tree) (found []Finding) {
	for _, dir := range slices.Sorted(maps.Keys(t.folders)) {
		if path.Dir(dir) != "experiments" {
			continue
		}
		for _, name := range []string{"experiment.yaml", "README.md"} {
			if !t.exists(path.Join(dir, name)) {
				found = append(found, Finding{dir, 0, "an experiment needs " + name})
			}
		}
	}
	return found
}

// skipsAreHonest keeps tests from skipping by themselves: internal/require skips, and fails where the
// machine was promised to be able.
func skipsAreHonest(t *Tree) (found []Finding) {
	for _, f := range t.goFiles() {
		if f.Package() == "internal/require" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isBareSkip(call) {
				why := "skip through require.Skip, which names what is missing"
				found = append(found, Finding{f.Path, f.line(call), why})
			}
			return true
		})
	}
	return found
}

func isBareSkip(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && len(x.Name) == 1 // t, b, f
}

// packagesAreOnTheMap keeps ARCHITECTURE.md's package map complete.
func packagesAreOnTheMap(t *Tree) (found []Finding) {
	i := slices.IndexFunc(t.Files, func(f *File) bool { return f.Path == "ARCHITECTURE.md" })
	if i < 0 {
		return []Finding{{"ARCHITECTURE.md", 0, "does not exist"}}
	}
	seen := map[string]bool{}
	for _, f := range t.goFiles() {
		pkg := "`" + f.Package() + "`"
		if !seen[pkg] && !strings.Contains(t.Files[i].Text, pkg) {
			found = append(found, Finding{"ARCHITECTURE.md", 0, "the package map does not name " + pkg})
		}
		seen[pkg] = true
	}
	return found
}

// citedTestsExist keeps documents from resting on a test that is not there. A name that ends in "…" stands
// for every test it begins.
func citedTestsExist(t *Tree) (found []Finding) {
	for _, f := range t.Files {
		if path.Ext(f.Path) != ".md" {
			continue
		}
		for i, line := range strings.Split(f.Text, "\n") {
			for _, m := range citedTest.FindAllStringSubmatch(line, -1) {
				if !t.testExists(m[1], m[2], m[3] != "") {
					found = append(found, Finding{f.Path, i + 1, "there is no test " + strings.Trim(m[0], "`")})
				}
			}
		}
	}
	return found
}

// testExists looks for a test function in packages of a name, or in all if that is empty.
func (t *Tree) testExists(pkg, name string, prefix bool) bool {
	return slices.ContainsFunc(t.goFiles(), func(f *File) bool {
		return f.IsTest() && (pkg == "" || path.Base(f.Package()) == pkg) &&
			slices.ContainsFunc(f.AST.Decls, func(d ast.Decl) bool {
				fn, ok := d.(*ast.FuncDecl)
				return ok && (fn.Name.Name == name || prefix && strings.HasPrefix(fn.Name.Name, name))
			})
	})
}
