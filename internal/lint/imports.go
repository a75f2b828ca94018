package lint

import (
	"fmt"
	"slices"
	"strings"
)

// layers names, for the packages whose place in the picture matters most, the packages of this module
// that they may import. A folder covers what lies in it. ARCHITECTURE.md draws the same picture.
var layers = []struct {
	dir   string
	allow []string
}{
	{"internal", []string{"internal"}},
	{"system/wire", []string{"system/wire"}},
	{"system/lane", []string{"system/wire"}},
	{"system/order", []string{"system/order", "system/wire"}},
	{"system/store", []string{"system/store", "system/wire"}},
	{"system/disk", []string{"system/disk"}},
	{"system/journal", []string{"system/journal", "system/disk"}},
	{"system/storage", []string{"system/storage", "system/disk", "system/journal", "system/replica"}},
	{"system/packet", []string{"system/packet"}},
	{"system/packet/porttest", []string{"system/packet", "system/lane", "system/wire"}},
	{"system/packet/godpdk/ingest-godpdk", []string{"system/packet", "system/bench", "system/wire"}},
	{"system/node", []string{"system/wire"}},
	{"system/replica", []string{"system/replica", "system/packet", "system/lane", "system/wire", "system/node",
		"system/order", "system/store"}},
	{"system/proxy", []string{"system/lane", "system/wire", "system/node"}},
	{"system/proxy/resp", []string{"system/proxy/resp", "system/wire"}},
	{"system/proxy/resp/resptest", []string{"system/proxy/resp", "system/store", "system/wire"}},
	{"system/client", []string{"system/client", "system/proxy/resp", "system/wire"}},
	{"system/cluster", []string{"system/cluster", "system/access/secretfile", "system/packet", "system/wire"}},
	{"system/stream", []string{"system/stream", "system/wire"}},
	{"system/ops", []string{"system/ops"}},
	{"system/backup", []string{"system/backup", "system/access/secretfile", "system/disk", "system/journal",
		"system/replica", "system/storage", "system/store"}},
	{"system/backup/backuptest", []string{"system"}},
	{"system/device", []string{"system/device", "system/disk", "system/journal"}},
	{"system/device/queue", []string{"system/device/queue"}},
	{"system/device/devicecmd", []string{"system/device"}},
	{"system/backup/backupcmd", []string{"system/backup", "system/cluster", "system/daemon", "system/disk",
		"system/journal", "system/replica", "system/storage", "system/wire"}},
	{"system/access", []string{"system/access"}},
	{"system/edge", []string{"system/edge"}},
	{"system/edge/local", []string{"system/edge"}},
	{"system/edge/quorum", []string{"system/edge", "system/client", "system/cluster", "system/daemon",
		"system/proxy/resp", "system/wire"}},
	{"system/edge/edgecmd", []string{"system/edge", "system/access", "system/master/api", "system/master/ship",
		"system/ops"}},
	{"system/home", []string{"system/home"}},
	{"harness/fleet", []string{"harness/fleet", "harness/testbed", "system"}},
	{"harness/vswitch", []string{"system/packet", "system/wire"}},
	{"harness/vswitch/vswitchd", []string{"harness/vswitch", "system/packet"}},
	{"harness/pcivm", []string{"harness/pcivm", "system/lane", "system/packet", "system/wire"}},
	{"harness/factorial", []string{"harness", "system/packet"}},
	{"harness/driver/consensus", []string{"harness/factorial", "harness/model", "system/order",
		"system/packet"}},
	{"harness/model", []string{"harness/model"}},
	{"harness/driver/rss", []string{"harness", "system/packet"}},
	{"harness/driver/rss/worker", []string{"harness/load", "system"}},
	{"harness/driver/offline/outage", []string{"harness/driver/offline/outage"}},
	{"harness/driver/runtimes/launch", []string{"harness/driver/runtimes/launch"}},
	{"harness/history", []string{"harness/history", "system/wire"}},
	{"harness/spec", []string{"harness/spec", "harness/load", "system/packet", "system/wire"}},
	{"harness/stats", []string{"harness/stats"}},
	{"harness/run", []string{"harness", "system/packet"}},
	{"harness/record", []string{"harness/record"}},
	{"harness/report", []string{"harness/report", "harness/record"}},
	{"harness/check", []string{"harness/check", "harness/record", "harness/stats"}},
	{"harness/plot", []string{"harness/plot", "harness/check", "harness/record", "harness/stats"}},
}

// pure packages are state machines: what happens in them is decided by what they are given (I7).
var pure = []string{"system/wire", "system/lane", "system/order", "system/store", "system/node",
	"system/replica", "system/proxy", "system/device/queue", "system/home", "harness/driver/offline/outage",
	"harness/model"}

// served is what lies in a pure package's folder and is not pure: it brings clients to it, or tests it.
var served = []string{"system/proxy/resp", "system/order/ordertest"}

// impure packages bring in a clock, a goroutine's tools, a socket, a file or a random number that nobody
// gave. Reading crypto/rand through an injected reader needs no import.
var impure = []string{
	"crypto/rand", "log", "log/slog", "math/rand", "math/rand/v2", "net", "os", "runtime", "sync",
	"syscall", "time", "unsafe",
}

// exclusive packages may be imported from one folder only.
var exclusive = []struct{ imported, dir, why string }{
	{"C", "system/packet/dpdk", "C is called in one place, which counts its calls"},
	{"gonum.org/v1/plot", "harness/plot", "figures are drawn in one style, in one place"},
}

// each calls check for every import of every Go file and gathers what it objects to; an empty string is
// no objection.
func (t *Tree) each(check func(*File, Import) string) (found []Finding) {
	for _, f := range t.goFiles() {
		for _, imp := range f.Imports {
			if why := check(f, imp); why != "" {
				found = append(found, Finding{f.Path, imp.Line, why})
			}
		}
	}
	return found
}

func systemNeverImportsHarness(t *Tree) []Finding {
	return t.each(func(f *File, imp Import) string {
		if under(f.Package(), "system") && under(imp.Path, module+"/harness") {
			return "the testbed measures the store, never the other way round: imports " + imp.Path
		}
		return ""
	})
}

func layersHold(t *Tree) []Finding {
	return t.each(func(f *File, imp Import) string {
		target, ours := strings.CutPrefix(imp.Path, module+"/")
		if !ours || f.IsTest() || under(target, "internal") {
			return ""
		}
		dir, allow := layerOf(f.Package())
		if dir != "" && !underAny(target, allow) {
			allowed := strings.Join(allow, ", ")
			return fmt.Sprintf("%s may import only %s, not %s", dir, allowed, target)
		}
		return ""
	})
}

func layerOf(pkg string) (dir string, allow []string) {
	for _, l := range layers {
		if under(pkg, l.dir) && len(l.dir) > len(dir) {
			dir, allow = l.dir, l.allow
		}
	}
	return dir, allow
}

// testHelpersStayInTests keeps packages named like porttest, and package require, out of what is shipped.
func testHelpersStayInTests(t *Tree) []Finding {
	return t.each(func(f *File, imp Import) string {
		target, ours := strings.CutPrefix(imp.Path, module+"/")
		if ours && isTestHelper(target) && !f.IsTest() && !isTestHelper(f.Package()) {
			return target + " is for tests"
		}
		return ""
	})
}

func isTestHelper(pkg string) bool {
	return strings.HasSuffix(pkg, "test") || pkg == "internal/require"
}

func pureStayPure(t *Tree) []Finding {
	return t.each(func(f *File, imp Import) string {
		if f.IsTest() || !underAny(f.Package(), pure) || underAny(f.Package(), served) {
			return ""
		}
		// Exact paths: net fetches, net/netip only calculates.
		if slices.Contains(impure, imp.Path) || under(imp.Path, "golang.org/x/sys") {
			return fmt.Sprintf("%s is pure and must be given what %s would fetch", f.Package(), imp.Path)
		}
		return ""
	})
}

func exclusiveImports(t *Tree) []Finding {
	return t.each(func(f *File, imp Import) string {
		for _, e := range exclusive {
			if under(imp.Path, e.imported) && !under(f.Package(), e.dir) {
				return fmt.Sprintf("only %s may import %s: %s", e.dir, e.imported, e.why)
			}
		}
		return ""
	})
}
