package replica

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/store"
	"metronome/system/wire"
)

// oldTag and newTag are the clusters' before and after.
const (
	oldTag = 7
	newTag = 8
)

// saved is a saved snapshot of a cluster with two proxies, one of them with open lanes, and a session.
func saved(t testing.TB) (file []byte, st *store.Store) {
	t.Helper()
	st, err := store.New(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range []wire.Item{{Op: wire.OpPut, Key: []byte("a"), Value: []byte("1")}, {Op: wire.OpSession},
		{Op: wire.OpPut, Key: []byte("b"), Value: []byte("2")}} {
		b, err := wire.AppendItem(nil, &it)
		if err != nil {
			t.Fatal(err)
		}
		st.Apply(&store.Batch{Index: uint64(i + 1), Time: 5, Spans: []store.Span{{Payloads: [][]byte{b}}}})
	}
	s := newState()
	s.time, s.feature, s.limits = 5, featureSeats, encodeLimits(defaultLimits(t))
	s.open(1, 100, 2, 0)
	s.open(2, 200, 1, 0)
	s.lane(1).cut = order.Mark{Lane: 1, Items: 30, Frames: 3, Chain: 9}
	s.close(s.proxy(2), true)
	s.lives[0] = lifeRow{life: 3, nonce: 4, admitted: true}
	s.lives[4] = lifeRow{life: 2, nonce: 5, ended: true}
	snap := st.Capture()
	for !snap.Done() {
		snap.Step(1 << 20)
	}
	r := Replica{cfg: Config{Cluster: oldTag}, id: LifeID(0, 3)}
	head := s.append(nil)
	at := order.SnapshotMeta{Position: 50, Term: 6, Members: order.Members{Voters: []uint64{LifeID(0, 3)},
		Learners: []uint64{LifeID(1, 1)}}}
	file = append(r.fileHeader(&at, head, snap.Size()), head...)
	for at := 0; at < snap.Size(); {
		b := snap.Read(at, 1<<20)
		file, at = append(file, b...), at+len(b)
	}
	return file, st
}

// defaultLimits are those of a store.Config that was left empty.
func defaultLimits(t testing.TB) *store.Config {
	t.Helper()
	return &store.Config{Slots: 4096, MaxSessions: 10_000, SessionWindow: 1024, MaxResultBytes: 64 << 10,
		MaxReplyBytes: 4 << 20}
}

func refound(t *testing.T, file []byte, seats ...int) *Refounded {
	t.Helper()
	f, err := Refound(bytes.NewReader(file), Refounding{Cluster: newTag, Seats: seats})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (s *Save) bytes() []byte {
	b := slices.Clone(s.Header)
	for at := 0; at < s.Size; {
		piece := s.Read(at, 1000)
		b, at = append(b, piece...), at+len(piece)
	}
	return b
}

// TestRefoundIsAnotherCluster is R29, line by line.
func TestRefoundIsAnotherCluster(t *testing.T) {
	file, old := saved(t)
	f := refound(t, file, 0, 1, 2)
	if f.From.Cluster != oldTag || f.From.Epoch != 1 || f.Epoch != 2 || f.From.Index != old.Index() ||
		f.Index < old.Index()+epochIndexes || f.From.Sessions != 1 || f.From.Hash != old.Hash() {
		t.Errorf("%+v", f)
	}
	save, life, err := f.Begin(1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readFile(save.bytes())
	if err != nil {
		t.Fatal(err)
	}
	voters := []uint64{LifeID(0, 1), LifeID(1, 1), LifeID(2, 1)}
	want := order.SnapshotMeta{Position: 50, Term: 6, Members: order.Members{Voters: voters}}
	if got.cluster != newTag || got.id != LifeID(1, 1) || !reflect.DeepEqual(got.at, want) {
		t.Errorf("the file is of %x of %d, at %+v", got.id, got.cluster, got.at)
	}
	if in := wire.NewReader(life); in.U8() != recordLife || in.U32() != newTag || in.U64() != LifeID(1, 1) {
		t.Errorf("the journal begins with % x", life)
	}
	s, err := decodeState(got.head)
	if err != nil {
		t.Fatal(err)
	}
	p := s.proxy(1)
	if p.open || p.silence || p.incarnation != 1 || p.closedOf != 1 || !slices.Equal(p.closed, []uint64{30,
		0}) ||
		!slices.Contains(p.spent, 100) || len(s.lanes) != 0 || s.nextLane != 4 {
		t.Errorf("proxy 1 is %+v, next lane %d", p, s.nextLane)
	}
	if p := s.proxy(2); p.open || !p.silence {
		t.Errorf("proxy 2, which was closed before, is %+v", p)
	}
	if p, changed := s.open(1, 300, 1, 0); !changed || p.incarnation != 2 {
		t.Errorf("its next incarnation is %d", p.incarnation)
	}
	for seat, l := range s.lives {
		want := lifeRow{}
		if seat < 3 {
			want = lifeRow{life: 1, admitted: true}
		}
		if l != want {
			t.Errorf("seat %d has %+v", seat, l)
		}
	}
	if s.time != 5 || s.feature != featureSeats {
		t.Errorf("log time %d, feature level %d", s.time, s.feature)
	}
}

// TestRefoundedKeysAreAsTheyWere compares the stores: with the old one's sessions ended and its index
// moved on, they are one state.
func TestRefoundedKeysAreAsTheyWere(t *testing.T) {
	file, old := saved(t)
	f := refound(t, file, 0)
	save, _, err := f.Begin(0)
	if err != nil {
		t.Fatal(err)
	}
	info, _, st, err := load(bytes.NewReader(save.bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := void(old); err != nil {
		t.Fatal(err)
	}
	if st.Hash() != old.Hash() || st.Index() != old.Index() || info.Sessions != 0 || info.Index != f.Index {
		t.Errorf("state %016x at %d, want %016x at %d: %+v", st.Hash(), st.Index(), old.Hash(), old.Index(), info)
	}
	// The next restore moves on as far again.
	again, err := Refound(bytes.NewReader(save.bytes()), Refounding{Cluster: newTag + 1, Seats: []int{0}})
	if err != nil || again.Epoch != 3 || again.Index < f.Index+epochIndexes {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestRefoundIsAFunctionOfItsArguments(t *testing.T) {
	file, _ := saved(t)
	var files [2][]byte
	for i := range files {
		save, _, err := refound(t, file, 2, 0).Begin(2)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = save.bytes()
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("twice the same gives two files")
	}
}

func TestRefoundRefuses(t *testing.T) {
	file, _ := saved(t)
	for name, c := range map[string]struct {
		to   Refounding
		want string
	}{
		"the same cluster": {Refounding{Cluster: oldTag, Seats: []int{0}}, "R29"},
		"no seats":         {Refounding{Cluster: newTag}, "founding members"},
		"a seat twice":     {Refounding{Cluster: newTag, Seats: []int{1, 1}}, "each once"},
		"no such seat":     {Refounding{Cluster: newTag, Seats: []int{wire.MaxSeats}}, "each once"},
	} {
		if _, err := Refound(bytes.NewReader(file), c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := refound(t, file, 0).Begin(1); err == nil {
		t.Error("a seat that is no member begins")
	}
}

// TestInspectFindsEveryChangedByte flips, cuts and adds.
func TestInspectFindsEveryChangedByte(t *testing.T) {
	file, _ := saved(t)
	if _, err := Inspect(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	for at := range file {
		for bit := range 8 {
			b := slices.Clone(file)
			b[at] ^= 1 << bit
			if _, err := Inspect(bytes.NewReader(b)); err == nil {
				t.Fatalf("bit %d of byte %d flipped: accepted", bit, at)
			}
		}
		if _, err := Inspect(bytes.NewReader(file[:at])); err == nil {
			t.Fatalf("cut off at %d: accepted", at)
		}
	}
	if _, err := Inspect(bytes.NewReader(append(slices.Clone(file), 0))); err == nil {
		t.Error("a byte more: accepted")
	}
}

func TestReadFileHeadReadsNoByteMore(t *testing.T) {
	file, _ := saved(t)
	in := bytes.NewReader(file)
	info, raw, err := ReadFileHead(in)
	if err != nil || !bytes.HasPrefix(file, raw) || in.Len() != len(file)-len(raw) || info.Head != len(raw) ||
		info.Bytes != uint64(len(file)) || info.At.Position != 50 {
		t.Errorf("%d bytes, %d left of %d: %+v, %v", len(raw), in.Len(), len(file), info, err)
	}
	f, err := readFile(file)
	if err != nil || info.ID != f.id || info.Cluster != f.cluster || !reflect.DeepEqual(info.At, f.at) {
		t.Errorf("%+v, a restart reads %+v, %v", info, f, err)
	}
}

func FuzzReadFileHead(f *testing.F) {
	file, _ := saved(f)
	f.Add(file)
	f.Add(file[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		info, raw, err := ReadFileHead(bytes.NewReader(b))
		if err == nil && (!bytes.HasPrefix(b, raw) || info.Head != len(raw)) {
			t.Errorf("%+v", info)
		}
		if _, err := Inspect(bytes.NewReader(b)); err == nil && uint64(len(b)) != info.Bytes {
			t.Errorf("%d bytes are taken for %d", len(b), info.Bytes)
		} else if errors.Is(err, io.EOF) {
			t.Errorf("a snapshot that is cut off ends like one that is not: %v", err)
		}
	})
}
