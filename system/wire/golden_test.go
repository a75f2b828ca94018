package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// drawing reads the table under the given heading of doc.go: field name → (offset, size).
func drawing(t *testing.T, heading string) map[string][2]int {
	t.Helper()
	f, err := os.Open("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fields := map[string][2]int{}
	in := false
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimPrefix(s.Text(), "//")
		if strings.HasPrefix(line, " # ") {
			in = strings.TrimSpace(line) == "# "+heading
		}
		cols := strings.Fields(line)
		if !in || len(cols) < 3 {
			continue
		}
		offset, err1 := strconv.Atoi(cols[0])
		size, err2 := strconv.Atoi(cols[1])
		if err1 == nil && err2 == nil {
			fields[cols[2]] = [2]int{offset, size}
		}
	}
	return fields
}

func sampleHeader() Header {
	return Header{Type: TypeData, Flags: FlagRepair, Lane: 0x0102, Cluster: 0x03040506,
		Proxy: 0x0708090a, Incarnation: 0x0b0c0d0e, Count: 2, Frame: 0x1112131415161718,
		First: 0x191a1b1c1d1e1f20, HighWater: 0x2122232425262728, Tail: 0x292a2b2c2d2e2f30}
}

func testDigester(t testing.TB, m Mode) *Digester {
	t.Helper()
	d, err := NewDigester(m, []byte("a cluster key for tests"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func sampleFrame(t testing.TB, d *Digester) ([]byte, Header) {
	t.Helper()
	frame := make([]byte, HeaderSize)
	for _, it := range []Item{
		{Op: OpPut, Key: []byte("key"), Value: []byte("value")},
		{Op: OpCAS, Key: []byte("k"), Value: []byte("v"), Expect: 7, HasSession: true, Session: 8, Number: 9},
	} {
		var err error
		if frame, err = AppendItem(frame, &it); err != nil {
			t.Fatal(err)
		}
	}
	frame = append(frame, make([]byte, d.Mode().Overhead())...)
	h := sampleHeader()
	if err := Seal(frame, &h, d); err != nil {
		t.Fatal(err)
	}
	return frame, h
}

// Goal: the drawing in doc.go is the truth about the bytes. Method: encode a header whose fields
// all differ and read every field back at the place the drawing gives it.
func TestHeaderIsAsDrawn(t *testing.T) {
	frame, h := sampleFrame(t, testDigester(t, ModeXXH3))
	want := map[string]uint64{
		"magic": Magic, "version": Version, "type": uint64(h.Type), "mode": uint64(h.Mode),
		"flags": uint64(h.Flags), "lane": uint64(h.Lane), "cluster": uint64(h.Cluster),
		"proxy": uint64(h.Proxy), "incarnation": uint64(h.Incarnation), "count": uint64(h.Count),
		"length": uint64(h.Length), "frame": h.Frame, "first": h.First, "highwater": h.HighWater,
		"tail": h.Tail, "payload": h.PayloadHash, "digest": h.Digest,
	}
	fields := drawing(t, "Frame")
	if len(fields) != len(want) {
		t.Fatalf("doc.go draws %d fields, the header has %d", len(fields), len(want))
	}
	next := 0
	for name, v := range want {
		at, ok := fields[name]
		if !ok {
			t.Errorf("doc.go does not draw %q", name)
			continue
		}
		var b [8]byte
		copy(b[:], frame[at[0]:at[0]+at[1]])
		if got := binary.LittleEndian.Uint64(b[:]); got != v {
			t.Errorf("%s at %d: %#x, want %#x", name, at[0], got, v)
		}
		next += at[1]
	}
	if next != HeaderSize {
		t.Errorf("the drawn fields cover %d bytes, the header has %d", next, HeaderSize)
	}
}

func TestItemIsAsDrawn(t *testing.T) {
	fields := drawing(t, "Item")
	b, err := AppendItem(nil, &Item{Op: OpPut, Key: []byte("abc"), Value: []byte("de"),
		HasSession: true, Session: 0x0101010101010101, Number: 0x0202020202020202, Low: 0x0303030303030303})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"op": "01", "flags": "01", "keylen": "0300",
		"valuelen": "02000000", "session": "010101010101010102020202020202020303030303030303"} {
		at, ok := fields[name]
		if !ok {
			t.Errorf("doc.go does not draw %q", name)
		} else if got := hex.EncodeToString(b[at[0] : at[0]+at[1]]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := string(b[ItemHeader+sessionSize:]); got != "abcde" {
		t.Errorf("key and value are %q", got)
	}
}

// A change of these bytes is a change of the wire format: raise Version.
func TestGoldenFrames(t *testing.T) {
	for _, m := range []Mode{ModeNone, ModeXXH3, ModeCRC32C, ModeMAC, ModeAEAD} {
		t.Run(m.String(), func(t *testing.T) {
			frame, _ := sampleFrame(t, testDigester(t, m))
			file := filepath.Join("testdata", "frame-"+m.String()+".hex")
			got := hex.Dump(frame)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("frame changed:\n%swant\n%s", got, want)
			}
		})
	}
}
