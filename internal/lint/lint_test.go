package lint

import (
	"compress/gzip"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestRepository holds this repository to its law.
func TestRepository(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, f := range rule.Check(tree) {
				t.Error(f)
			}
		})
	}
}

const architecture = "`system/wire` `system/lane` `system/packet/dpdk` `harness/plot` `internal/require`"

// lawful is a repository in small that breaks nothing; it comes close on purpose.
var lawful = map[string]string{
	"ARCHITECTURE.md": architecture,
	"README.md": "[a](docs/a.md#part) [b](https://example.org/x) [c](#here)\n" +
		"`[d](no/where)`\n```\n[e](no)\n```\n",
	"docs/a.md": "![up](../README.md \"title\") /tmp https://example.org/ho" + "me/x\n" +
		"`TestRule`, `wire.TestR…`, `TestNothing this is not a name`\n",
	"bin/a.md":                      "[built](no/where)\n",
	"results/x/2025/manifest.json":  `"/ro` + `ot/x"`,
	"results/x/reference/t.csv":     "a,b\n",
	"experiments/x/experiment.yaml": "",
	"experiments/x/README.md":       "",
	"system/wire/a.go":              "// Package wire is.\npackage wire\nimport _ \"net/netip\"\n",
	"system/wire/a_test.go":         "package wire\nimport _ \"os\"\nimport _ \"time\"\nfunc TestRule(t T) {}\n",
	"system/lane/a.go":              "// Package lane is.\npackage lane\nimport _ \"metronome/system/wire\"\n",
	"system/lane/b.go":              "package lane\n" + strings.Repeat("\n", maxLines-1),
	"system/packet/dpdk/a.go":       "// Package dpdk is.\npackage dpdk\nimport \"C\"\n",
	"harness/plot/a.go":             "// Package plot is.\npackage plot\nimport _ \"gonum.org/v1/plot/vg\"\n",
	"harness/plot/testdata/a/a.go":  "package main\n",
	"internal/require/a.go":         "// Package require is.\npackage require\nfunc f(t T) { t.Skipf() }\n",
	"system/packet/dpdk/a_test.go": "package dpdk\nimport \"metronome/internal/require\"\n" +
		"func f(t T) { require.Skip(t) }\n",
}

func gzipped(text string) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // a Builder has no errors
	_ = z.Close()
	return b.String()
}

func load(t *testing.T, files map[string]string) *Tree {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestLawfulTree(t *testing.T) {
	tree := load(t, lawful)
	for _, rule := range Rules() {
		for _, f := range rule.Check(tree) {
			t.Errorf("%s: %v", rule.Name, f)
		}
	}
}

// imports is a Go file with one import, in its second line.
func imports(pkg, path string) string { return "package " + pkg + "\nimport _ \"" + path + "\"" }

// TestRulesCanFail adds one unlawful file, or changes one, and expects exactly one rule to object, at
// the right place. A rule without a case fails.
func TestRulesCanFail(t *testing.T) {
	cases := []struct{ rule, path, text, at string }{
		{"system never imports harness", "system/wire/b_test.go", imports("wire", "metronome/harness/load"), ":2:"},
		{"layers hold", "system/wire/b.go", imports("wire", "metronome/system/lane"), ":2:"},
		{"layers hold", "system/lane/c.go", imports("lane", "metronome/system/packet"), ":2:"},
		{"layers hold", "internal/require/b.go", imports("require", "metronome/system/wire"), ":2:"},
		{"layers hold", "system/packet/dpdk/b.go", imports("dpdk", "metronome/system/wire"), ":2:"},
		{"test helpers stay in tests", "system/lane/c.go", imports("lane", "metronome/internal/require"), ":2:"},
		{"pure packages stay pure", "system/wire/b.go", imports("wire", "time"), ":2:"},
		{"pure packages stay pure", "system/lane/c.go", imports("lane", "golang.org/x/sys/unix"), ":2:"},
		{"exclusive imports", "system/lane/c.go", imports("lane", "C"), ":2:"},
		{"exclusive imports", "internal/require/b_test.go", imports("require", "gonum.org/v1/plot"), ":2:"},
		{"packages are documented", "system/lane/a.go", "package lane", "system/lane:0:"},
		{"packages are on the map", "system/lost/a.go", "// Package lost is.\npackage lost", "`system/lost`"},
		{"packages are on the map", "ARCHITECTURE.md", architecture[len("`system/wire`"):], "`system/wire`"},
		{"files are short", "system/lane/c.go", "package lane" + strings.Repeat("\n", maxLines+1), ":601:"},
		{"nothing is unfinished", "Makefile", "all:\n\t# TO" + "DO: more", ":2:"},
		{"nothing is unfinished", "system/lane/c.go", "package lane // FIX" + "ME", ":1:"},
		{"no machine paths", "results/x/reference/manifest.json", `{"argv": ["/ho` + `me/me/bin/lab"]}`, ":1:"},
		{"no machine paths", "results/x/reference/u.csv.gz", gzipped("a\n/ho" + "me/me\n"), ":2:"},
		{"no machine paths", "ansible/a.yml", "path: /ro" + "ot/x", ":1:"},
		{"links resolve", "docs/b.md", "\n\n[a](a.md) [b](c.md)", "docs/b.md:3: link to c.md"},
		{"links resolve", "README.md", "![figure](figures/x/ratio.svg)", ":1:"},
		{"experiments are whole", "experiments/y/README.md", "", "experiments/y:0: an experiment needs exp"},
		{"experiments are whole", "experiments/y/experiment.yaml", "", "experiments/y:0: an experiment needs READ"},
		{"cited tests exist", "docs/b.md", "\n`TestRul`", ":2:"},
		{"cited tests exist", "docs/b.md", "`lane.TestRule`", ":1:"},
		{"cited tests exist", "docs/b.md", "`TestX…`", ":1:"},
		{"skips are honest", "system/lane/c_test.go", "package lane\nfunc f(t T) {\n\tt.Skip()\n}", ":3:"},
	}
	failed := map[string]bool{}
	for _, tc := range cases {
		t.Run(tc.rule+"/"+tc.path, func(t *testing.T) {
			files := map[string]string{tc.path: tc.text}
			for name, text := range lawful {
				if name != tc.path {
					files[name] = text
				}
			}
			tree := load(t, files)
			for _, rule := range Rules() {
				expectFinding(t, rule, tree, rule.Name == tc.rule, tc.at)
			}
		})
		failed[tc.rule] = true
	}
	for _, rule := range Rules() {
		if !failed[rule.Name] {
			t.Errorf("no case breaks the rule %q: nobody knows that it can fail", rule.Name)
		}
	}
}

func expectFinding(t *testing.T, rule Rule, tree *Tree, want bool, at string) {
	t.Helper()
	found := rule.Check(tree)
	switch {
	case !want && len(found) > 0:
		t.Errorf("%s: unexpected %v", rule.Name, found)
	case want && (len(found) != 1 || !strings.Contains(found[0].String(), at)):
		t.Errorf("%s: got %v, want one finding with %q", rule.Name, found, at)
	}
}

func TestLoadNamesTheFileThatDoesNotParse(t *testing.T) {
	_, err := Load(fstest.MapFS{"system/a.go": {Data: []byte("package")}})
	if err == nil || !strings.Contains(err.Error(), "system/a.go:1") {
		t.Errorf("got %v, want an error with system/a.go:1", err)
	}
}
