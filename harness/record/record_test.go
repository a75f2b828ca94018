package record

import (
	"encoding/json"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; if that is meant, run go test ./harness/record -update\n%s", path, got)
	}
}

func TestReadmeGolden(t *testing.T) { golden(t, "README.md", Readme()) }

// sample is a trial as a probe would fill it.
func sample() Trial {
	t := NewTrial()
	t.Experiment, t.RunID = "ingest-11x", "20250102T030405Z-abcdef0-1234"
	t.Block, t.Arm, t.Placement, t.Role = 3, "dpdk-memif", PlacementSame, RoleBracket
	t.Cell = "item=16,items=1,burst=32,digest=xxh3"
	t.Repeat, t.Attempt, t.Seed = 1, 1, math.MaxUint64
	t.ItemBytes, t.ItemWireBytes, t.ItemsPerFrame = 16, 24, 1
	t.FrameBytes, t.EthernetBytes, t.Burst, t.Digest = 96, 138, 32, "xxh3"
	t.OfferedFPS, t.WindowNS = 7.25e6, 1e9
	t.EmittedFrames, t.AcceptedFrames, t.AcceptedItems = 7249998, 7249000, 7249000
	t.RingFullFrames = 998
	t.CPUNSRxThreads, t.CPUNSNAPI = 1.001e9, 0
	t.MemVMHWMBytes, t.MemHugeBytes, t.MemSocketBytes, t.MemUMEMBytes = 1.14e8, 1.68e8, 0, 0
	t.Status, t.Flags = StatusOK, "note, with a comma;second"
	t.Derive()
	return t
}

func TestTrialsGolden(t *testing.T) {
	refused := NewTrial()
	refused.Arm, refused.Status = "dpdk-af_xdp", StatusUnavailable
	refused.Reason = "no \"CAP_NET_ADMIN\"\nrun as root"
	path := filepath.Join(t.TempDir(), "trials.csv")
	if err := WriteFile(path, Trials(), []Trial{sample(), refused}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "trials.csv", string(b))
}

// Every column must have a place of its own in the row, a name, and a sentence.
func TestColumnsAreDistinct(t *testing.T) {
	t.Run("trials", func(t *testing.T) { distinct(t, Trials()) })
	t.Run("summary", func(t *testing.T) { distinct(t, Summaries()) })
	t.Run("claims", func(t *testing.T) { distinct(t, Claims()) })
	t.Run("offloads", func(t *testing.T) { distinct(t, Offloads()) })
}

func distinct[R any](t *testing.T, table Table[R]) {
	var row R
	names, places := map[string]bool{}, map[any]string{}
	for _, c := range table.Columns {
		if names[c.Name] || c.Name != strings.ToLower(c.Name) || !strings.HasSuffix(c.Doc, ".") {
			t.Errorf("column %q: name or sentence", c.Name)
		}
		if strings.ContainsAny(c.Doc+c.Unit, "<>|") {
			t.Errorf("column %q: the sentence breaks a Markdown table", c.Name)
		}
		names[c.Name] = true
		p := c.Field(&row)
		if other := places[p]; other != "" {
			t.Errorf("columns %s and %s share a field", c.Name, other)
		}
		places[p] = c.Name
	}
	if got, want := len(places), leaves(reflect.TypeFor[R]()); got != want {
		t.Errorf("%d columns for %d fields: a field is never written", got, want)
	}
}

func leaves(t reflect.Type) int {
	if t.Kind() != reflect.Struct {
		return 1
	}
	n := 0
	for i := range t.NumField() {
		n += leaves(t.Field(i).Type)
	}
	return n
}

// randomise fills every field of a row.
func randomise[R any](table Table[R], rng *rand.Rand) R {
	words := []string{"", "a", "a,b", `say "hi"`, " lead", "ünï×µ", "#", "=1+1"}
	var row R
	for _, c := range table.Columns {
		switch v := c.Field(&row).(type) {
		case *string:
			*v = words[rng.IntN(len(words))]
		case *bool:
			*v = rng.IntN(2) == 0
		case *int:
			*v = rng.Int() - math.MaxInt/2
		case *int64:
			*v = rng.Int64() - math.MaxInt64/2
		case *uint64:
			*v = rng.Uint64()
		case *float64:
			*v = math.Float64frombits(rng.Uint64())
		}
	}
	return row
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "trials.csv")
	var rows []Trial
	for range 200 {
		rows = append(rows, randomise(Trials(), rng))
	}
	if err := WriteFile(path, Trials(), rows); err != nil {
		t.Fatal(err)
	}
	back, err := ReadFile(path, Trials())
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		want, got := Trials().Strings(&rows[i]), Trials().Strings(&back[i])
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("row %d:\n got %q\nwant %q", i, got, want)
		}
	}
}

func TestFormatFloat(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{21e6, "21000000"}, {7043211.5, "7043211.5"}, {0.005, "0.005"}, {0, "0"},
		{1e-9, "1e-09"}, {1e300, "1e+300"}, {math.NaN(), ""}, {math.Inf(1), "+Inf"},
		{1.0 / 3, "0.3333333333333333"},
	} {
		if got := formatFloat(c.v); got != c.want {
			t.Errorf("%v: got %q, want %q", c.v, got, c.want)
		}
	}
}

func TestWriterSurvivesATornRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trials.csv")
	write := func(n int) {
		w, err := OpenWriter(path, Trials())
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := w.Write(sample()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(2)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(b) {
		if err := os.WriteFile(path, b[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		whole := max(0, strings.Count(string(b[:cut]), "\n")-1)
		write(1)
		rows, err := ReadFile(path, Trials())
		if err != nil || len(rows) != whole+1 {
			t.Fatalf("cut at byte %d: %d rows, %v; want %d", cut, len(rows), err, whole+1)
		}
	}
}

// An interrupted run's rows are readable while the writer is still open.
func TestWriterKeepsRowsWithoutClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trials.csv")
	w, err := OpenWriter(path, Trials())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(sample()); err != nil {
		t.Fatal(err)
	}
	rows, err := ReadFile(path, Trials())
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
}

func TestWriterRefusesAForeignHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trials.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWriter(path, Trials()); err == nil || !strings.Contains(err.Error(), "header") {
		t.Fatalf("got %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	w := &Writer[Trial]{table: Trials()}
	var err error
	if w.file, err = os.OpenFile("/dev/full", os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	defer w.file.Close()
	err = w.Write(sample())
	for _, want := range []string{"no space left", "are kept", "free some space"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":     {"", "no header"},
		"unknown":   {"arm,speed\nx,1\n", `unknown column "speed"`},
		"twice":     {"arm,arm\nx,y\n", "twice"},
		"number":    {"arm,block\nx,1\ny,one\n", "line 3: column block"},
		"too short": {"arm,block\nx\n", "wrong number of fields"},
	} {
		path := filepath.Join(t.TempDir(), "trials.csv")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path, Trials()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// A file of an older version lacks columns: they read as missing.
func TestReadFewerColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trials.csv")
	if err := os.WriteFile(path, []byte("block,arm\n2,null\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	rows, err := ReadFile(path, Trials())
	if err != nil || len(rows) != 1 || rows[0].Arm != "null" || !math.IsNaN(rows[0].GoodputFPS) {
		t.Fatalf("%+v, %v", rows, err)
	}
}

func TestMarshalRows(t *testing.T) {
	b, err := Trials().MarshalRows([]Trial{sample(), NewTrial()})
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if rows[0]["arm"] != "dpdk-memif" || rows[0]["offered_fps"] != 7.25e6 ||
		rows[1]["goodput_fps"] != nil {
		t.Errorf("%v", rows)
	}
	if b, err = Trials().MarshalRows(nil); err != nil || json.Unmarshal(b, &rows) != nil {
		t.Errorf("no rows: %s, %v", b, err)
	}
}

func TestLedgerBalance(t *testing.T) {
	balanced := Ledger{
		EmittedFrames: 120, RingFullFrames: 1, DeviceDropped: 2, DeviceErrors: 3, IPHdrErrors: 4,
		UDPCsumErrors: 5, UDPNoPorts: 6, UDPRcvbufErrors: 7, Foreign: 8, BacklogFrames: 9,
		Bad: BadFrames{Short: 1, Digest: 9}, DuplicateFrames: 11, RefusedFrames: 12,
		AcceptedFrames: 13, LateFrames: 14, QueuedFrames: 15,
	}
	if err := balanced.Balance(); err != nil || balanced.Pipeline() != 75 {
		t.Fatal(err, balanced.Pipeline())
	}
	short, long := balanced, balanced
	short.UDPRcvbufErrors = 0
	long.AcceptedFrames++
	for _, c := range []struct {
		l    Ledger
		want string
	}{
		{short, "7 frames are missing: emitted 120, found ring full 1 + device dropped 2"},
		{long, "1 frames too many"},
		{Ledger{EmittedFrames: 5}, "5 frames are missing: emitted 5, found nothing"},
	} {
		err := c.l.Balance()
		if !errors.Is(err, ErrUnbalanced) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// Each cause must weigh exactly one frame in the equation, or a loss could hide.
func TestEveryCauseCounts(t *testing.T) {
	for _, c := range append(lostColumns(), badColumns()...) {
		row := Trial{Ledger: Ledger{EmittedFrames: 10}}
		*c.Field(&row).(*uint64) = 10
		if err := row.Balance(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

func TestDerive(t *testing.T) {
	s := sample()
	if s.UnaccountedFrames != 0 || !s.LossFree || s.ZeroLoss {
		t.Errorf("%+v", s)
	}
	if s.OfferedActualFPS != 7249998 || s.GoodputIPS != 7249000 ||
		math.Abs(s.CPUNSPerItem-138.0880) > 1e-3 {
		t.Errorf("%v %v %v", s.OfferedActualFPS, s.GoodputIPS, s.CPUNSPerItem)
	}
	var nothing Trial
	nothing.Derive()
	if !math.IsNaN(nothing.LossRatio) || nothing.LossFree || nothing.ZeroLoss {
		t.Error("a trial without frames must not count as loss-free")
	}
}

func TestManifestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.json")
	before, err := Flatten(struct {
		Steal *uint64 `json:"steal_ticks"`
		Swap  *uint64 `json:"swap_ins"`
		Note  string  `json:"note"`
	}{Swap: new(uint64), Note: "a \"b\""})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"steal_ticks": Unknown, "swap_ins": "0", "note": "a \"b\""}
	if !reflect.DeepEqual(before, want) {
		t.Errorf("flattened to %v", before)
	}
	facts := map[string]string{"kernel": "6.18", "turbo": ""}
	m := Manifest{Experiment: "e", Hosts: []Host{{Name: "h", Facts: facts, Before: before}}}
	if err := WriteManifest(path, m); err != nil {
		t.Fatal(err)
	}
	if facts["turbo"] != "" {
		t.Error("WriteManifest changed its argument")
	}
	back, err := ReadManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	facts = back.Hosts[0].Facts
	if facts["kernel"] != "6.18" || facts["turbo"] != Unknown || back.Commit != Unknown {
		t.Errorf("%+v", back)
	}
	if !reflect.DeepEqual(back.Hosts[0].Before, want) || back.SchemaVersion != SchemaVersion {
		t.Errorf("%+v", back)
	}
	newer := []byte(`{"schema_version": 99, "commit": "abc"}`)
	if err := os.WriteFile(path, newer, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadManifest(path); err == nil || !strings.Contains(err.Error(), "commit abc") {
		t.Errorf("a newer schema: %v", err)
	}
}

func TestRunDirectory(t *testing.T) {
	root := t.TempDir()
	start := time.Date(2025, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))
	first, err := CreateRun(root, "ingest-11x", start, "abcdef0123", "12345678")
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != "20250102T030405Z-abcdef0-1234" {
		t.Error(first.ID)
	}
	second, err := CreateRun(root, "ingest-11x", start, "abcdef0123", "12345678")
	if err != nil || second.ID != first.ID+"-2" {
		t.Fatal(second, err)
	}
	for _, r := range []*Run{first, second} {
		if err := r.PointLatest(); err != nil {
			t.Fatal(err)
		}
		if to, err := os.Readlink(filepath.Join(root, "ingest-11x", "latest")); err != nil || to != r.ID {
			t.Errorf("latest -> %s, %v", to, err)
		}
	}
	for _, bad := range []string{"", "..", "a/b", "/etc"} {
		if _, err := CreateRun(root, bad, start, "", ""); err == nil {
			t.Errorf("%q was taken for an experiment's name", bad)
		}
	}
	if id := RunID(start, "", ""); id != "20250102T030405Z-unknown-unkn" {
		t.Error(id)
	}
}

func TestReadRun(t *testing.T) {
	run, err := CreateRun(t.TempDir(), "e", time.Unix(0, 0), "c", "s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRun(run.Dir); err == nil || !strings.Contains(err.Error(), "is not a run") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := WriteManifest(run.Path("manifest.json"), Manifest{RunID: run.ID}); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(run.Path("trials.csv"), Trials(), []Trial{sample()}); err != nil {
		t.Fatal(err)
	}
	r, err := ReadRun(run.Dir)
	if err != nil || len(r.Trials) != 1 || r.Manifest.RunID != run.ID || r.Claims != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
