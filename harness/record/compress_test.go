package record

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A large table is compressed, a small one stays; both are read by the names they had, with the same rows.
func TestCompressedTableIsReadByItsName(t *testing.T) {
	dir := t.TempDir()
	path, claims := filepath.Join(dir, "trials.csv"), filepath.Join(dir, "claims.csv")
	rows := make([]FactorialRow, 100)
	for i := range rows {
		rows[i] = NewFactorialRow()
		rows[i].Experiment, rows[i].Arm, rows[i].Block = "x", "a", i
	}
	err := errors.Join(WriteFile(path, FactorialRows(), rows), WriteFile(claims, Claims(), nil))
	if err != nil {
		t.Fatal(err)
	}
	before, err := ReadFile(path, FactorialRows())
	if err != nil {
		t.Fatal(err)
	}
	if err := compressTables(dir, 1000); err != nil {
		t.Fatal(err)
	}
	if Stored(path) != path+".gz" || Stored(claims) != claims {
		t.Errorf("stored as %s and %s", Stored(path), Stored(claims))
	}
	for _, name := range []string{path, path + ".gz"} {
		after, err := ReadFile(name, FactorialRows())
		if err != nil || len(after) != len(rows) || !reflect.DeepEqual(after[7].Block, before[7].Block) {
			t.Errorf("%s: %d rows, %v", name, len(after), err)
		}
	}
	if _, err := OpenWriter(path, FactorialRows()); err == nil || !strings.Contains(err.Error(), "new run") {
		t.Errorf("a finished table was appended to: %v", err)
	}
	if _, err := ReadFile(filepath.Join(dir, "none.csv"), Claims()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a table that is not there: %v", err)
	}
}

// The same rows make the same bytes, whenever they are written; compressing again changes nothing.
func TestCompressIsReproducible(t *testing.T) {
	var made [2][]byte
	for i := range made {
		path := filepath.Join(t.TempDir(), "trials.csv")
		if err := os.WriteFile(path, bytes.Repeat([]byte("a,b\n"), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := compressTables(filepath.Dir(path), 10); err != nil {
				t.Fatal(err)
			}
		}
		made[i], _ = os.ReadFile(path + ".gz")
	}
	if len(made[0]) == 0 || !bytes.Equal(made[0], made[1]) {
		t.Errorf("%d and %d bytes that differ", len(made[0]), len(made[1]))
	}
}

// A compressed table that was cut off is an error, wherever it was cut: rows do not go missing in silence.
func TestTruncatedCompressedTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claims.csv")
	if err := WriteFile(path, Claims(), make([]Claim, 20)); err != nil {
		t.Fatal(err)
	}
	if err := compressTables(filepath.Dir(path), 1); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := os.WriteFile(path+".gz", whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path, Claims()); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Fatalf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
}
