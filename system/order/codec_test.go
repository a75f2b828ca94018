package order

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samples are decisions and reports with every kind of content, by name.
func samples() (decisions map[string]Decision, reports map[string]Report) {
	cut := Cut{{Lane: 0, Items: 10, Frames: 1, Chain: 0x1122334455667788}, {Lane: 1},
		{Lane: 300, Items: 1 << 40, Frames: 1 << 33, Chain: 1}, {Lane: 1<<32 - 1, Frames: 2, Chain: 2}}
	decisions = map[string]Decision{
		"empty": {},
		"cut":   {Cut: cut, Time: 1 << 50},
		"commands": {Time: 7, Commands: []Command{
			{Kind: OpenLanes, Proxy: 5, Nonce: 0x0102030405060708, Lanes: MaxLanes},
			{Kind: CloseProxy, Proxy: 1<<32 - 1, Incarnation: 300},
			{Kind: ExpireSessions, Before: 1 << 63},
			{Kind: SetLimits, Limits: []byte("limits")},
			{Kind: SetLimits},
			{Kind: SetFeature, Level: 2},
			{Kind: MintLife, Seat: MaxSeats - 1, Nonce: 9},
		}},
		"from": {Commands: []Command{{Kind: OpenLanesFrom, Proxy: 5, Nonce: 6, Lanes: 2, Incarnation: 1 << 30}}},
		"both": {Cut: cut[:1], Time: 1, Commands: []Command{{Kind: SetFeature, Level: 1}}},
	}
	reports = map[string]Report{
		"report empty":   {},
		"report full":    {Full: true, Lanes: []Holding{{Mark: cut[0], High: 1}, {Mark: cut[2], High: 1<<64 - 1}}},
		"report changes": {Lanes: []Holding{{Mark: cut[1], High: 5}}},
	}
	return decisions, reports
}

// The encodings are what they were: replicas of two versions must understand each other.
func TestEncodingsAreGolden(t *testing.T) {
	decisions, reports := samples()
	encoded := map[string][]byte{}
	for name, d := range decisions {
		encoded[name] = AppendDecision(nil, &d)
	}
	for name, r := range reports {
		encoded[name] = AppendReport(nil, &r)
	}
	path := filepath.Join("testdata", "encodings.txt")
	if *update {
		writeGolden(t, path, encoded)
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(golden)), "\n")
	if len(lines) != len(encoded) {
		t.Errorf("%d golden encodings, %d samples: run with -update and look at the difference",
			len(lines), len(encoded))
	}
	for _, line := range lines {
		name, want, _ := strings.Cut(line, ": ")
		if got := hex.EncodeToString(encoded[name]); got != want {
			t.Errorf("%s is encoded as\n%s, was\n%s", name, got, want)
		}
	}
}

func writeGolden(t *testing.T, path string, encoded map[string][]byte) {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"empty", "cut", "commands", "from", "both",
		"report empty", "report full", "report changes"} {
		fmt.Fprintf(&b, "%s: %x\n", name, encoded[name])
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What is decoded is what was encoded, and no other length of it decodes.
func TestEncodingsRoundTrip(t *testing.T) {
	decisions, reports := samples()
	for name, d := range decisions {
		b := AppendDecision(nil, &d)
		got, err := DecodeDecision(b)
		if err != nil || !reflect.DeepEqual(got.Cut, d.Cut) || got.Time != d.Time ||
			!bytes.Equal(AppendDecision(nil, &got), b) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for n := range b {
			if _, err := DecodeDecision(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
		}
		if _, err := DecodeDecision(append(b, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s with a byte too many: %v", name, err)
		}
	}
	for name, r := range reports {
		b := AppendReport(nil, &r)
		got := Report{Full: true, Lanes: make([]Holding, 3)}
		if err := DecodeReport(b, &got); err != nil || !bytes.Equal(AppendReport(nil, &got), b) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for n := range b {
			if err := DecodeReport(b[:n], &got); !errors.Is(err, ErrMalformed) || len(got.Lanes) > 0 {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
		}
	}
}

func TestDecodeRefusesWhatIsOutOfBounds(t *testing.T) {
	lane := func(id LaneID) Mark { return Mark{Lane: id, Frames: 1, Items: 1} }
	commands := make([]Command, MaxCommands+1)
	for i := range commands {
		commands[i] = Command{Kind: SetFeature}
	}
	many := make(Cut, MaxLanes+1)
	for i := range many {
		many[i] = lane(LaneID(i))
	}
	largest := Decision{Cut: many[:MaxLanes], Commands: commands[:MaxCommands]}
	if _, err := DecodeDecision(AppendDecision(nil, &largest)); err != nil {
		t.Fatalf("the largest decision: %v", err)
	}
	for name, d := range map[string]Decision{
		"lanes repeat":           {Cut: Cut{lane(3), lane(3)}},
		"lanes descend":          {Cut: Cut{lane(3), lane(2)}},
		"items before frames":    {Cut: Cut{{Lane: 1, Items: 1}}},
		"chain before frames":    {Cut: Cut{{Lane: 1, Chain: 1}}},
		"too many lanes":         {Cut: many},
		"too many commands":      {Commands: commands},
		"an unknown command":     {Commands: []Command{{Kind: 77}}},
		"no lanes to open":       {Commands: []Command{{Kind: OpenLanes}}},
		"none to begin with":     {Commands: []Command{{Kind: OpenLanesFrom, Lanes: 1}}},
		"too many to open":       {Commands: []Command{{Kind: OpenLanes, Lanes: MaxLanes + 1}}},
		"a seat too high":        {Commands: []Command{{Kind: MintLife, Seat: MaxSeats}}},
		"limits too long":        {Commands: []Command{{Kind: SetLimits, Limits: make([]byte, MaxLimits+1)}}},
		"a command without kind": {Commands: []Command{{}}},
	} {
		if _, err := DecodeDecision(AppendDecision(nil, &d)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := AppendDecision(nil, &Decision{Cut: Cut{lane(1<<32 - 1)}})
	pair := bytes.Clone(last[:len(last)-1]) // the marks without the count of commands
	pair[2] = 2
	pair = append(pair, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	beyond := AppendReport(nil, &Report{Lanes: []Holding{{Mark: lane(1), High: 0}}})
	if err := DecodeReport(beyond, &Report{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a high mark below the durable one: %v", err)
	}
	for name, b := range map[string][]byte{
		"a lane after the last there can be": pair,
		"another format":                     {9, 0, 0, 0},
		"a longer spelling":                  {1, 0x80, 0, 0, 0},
		"a count of air":                     {1, 0, 0xff, 0x1f},
	} {
		if _, err := DecodeDecision(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeDecision(f *testing.F) {
	decisions, _ := samples()
	for _, d := range decisions {
		f.Add(AppendDecision(nil, &d))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDecision(b)
		if err != nil {
			return
		}
		if err := d.Cut.Validate(); err != nil {
			t.Fatalf("decoded a cut that is not valid: %v", err)
		}
		if again := AppendDecision(nil, &d); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes and is encoded as %x", b, again)
		}
	})
}

func FuzzDecodeReport(f *testing.F) {
	_, reports := samples()
	for _, r := range reports {
		f.Add(AppendReport(nil, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Report
		if err := DecodeReport(b, &r); err != nil {
			return
		}
		if again := AppendReport(nil, &r); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes and is encoded as %x", b, again)
		}
		var h Holdings
		h.Absorb(&r)
		if len(h.Lanes()) != len(r.Lanes) {
			t.Fatalf("%d lanes became %d", len(r.Lanes), len(h.Lanes()))
		}
	})
}
