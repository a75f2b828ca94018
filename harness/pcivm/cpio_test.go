package pcivm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// list reads an archive as the kernel does: "mode name data" an entry.
func list(t *testing.T, b []byte) (entries []string) {
	t.Helper()
	at := 0
	take := func(n int) string {
		s := string(b[at : at+n])
		at += n + -(at+n)&3
		return s
	}
	for {
		header := string(b[at : at+110])
		if !strings.HasPrefix(header, "070701") {
			t.Fatalf("no header at byte %d: %q", at, header)
		}
		field := func(i int) int {
			n, err := strconv.ParseInt(header[6+8*i:14+8*i], 16, 64)
			must(t, err)
			return int(n)
		}
		name := strings.TrimSuffix(take(110 + field(11))[110:], "\x00")
		if name == "TRAILER!!!" {
			return entries
		}
		entries = append(entries, fmt.Sprintf("%o %s %s", field(1), name, take(field(6))))
	}
}

// A library under two names stays one file, folders come before what is in them, nothing comes twice.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "lib.so.1.2"), []byte("library"), 0o644))
	must(t, os.Symlink("lib.so.1.2", filepath.Join(dir, "lib.so.1")))
	must(t, os.Symlink(dir, dir+"-link"))
	defer os.Remove(dir + "-link")
	var b bytes.Buffer
	a := newArchive(&b)
	a.copy(dir + "-link/lib.so.1")
	a.copy(dir + "/lib.so.1.2")
	a.put("/a/b/c", 0o600, 0, []byte("x"))
	must(t, a.close())
	got := list(t, b.Bytes())
	rel := dir[1:]
	tail := []string{"120777 " + rel + "/lib.so.1 lib.so.1.2", "100644 " + rel + "/lib.so.1.2 library",
		"40755 a ", "40755 a/b ", "100600 a/b/c x"}
	if len(got) < len(tail) || !slices.Equal(got[len(got)-len(tail):], tail) {
		t.Errorf("the archive holds\n%s\nnot at its end\n%s", strings.Join(got, "\n"), strings.Join(tail, "\n"))
	}
}

func TestArchiveNamesWhatIsMissing(t *testing.T) {
	a := newArchive(&bytes.Buffer{})
	a.copy("/no/file")
	if err := a.close(); err == nil || !strings.Contains(err.Error(), "/no") {
		t.Errorf("the error is %v", err)
	}
}
