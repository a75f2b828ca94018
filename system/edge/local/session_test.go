package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"metronome/system/edge"
)

// batch is of the session "q" of "lamp"; its operations have the numbers from first on.
func batch(epoch, prev, first uint64, ops ...edge.Op) *edge.Batch {
	b := &edge.Batch{Sender: &edge.Sender{Client: "lamp", Session: "q", Epoch: epoch, Prev: prev, Last: prev}}
	for i, op := range ops {
		op.Seq = first + uint64(i)
		b.Sender.Last = op.Seq
		b.Sender.Digest = b.Sender.Digest*31 + uint64(len(op.Value)) + op.Seq
		b.Ops = append(b.Ops, op)
	}
	return b
}

func send(t *testing.T, s *Store, b *edge.Batch) *edge.Outcome {
	t.Helper()
	out, err := s.Apply(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantFault(t *testing.T, s *Store, b *edge.Batch, code string, mark uint64) {
	t.Helper()
	var fault *edge.SessionFault
	_, err := s.Apply(t.Context(), b)
	if !errors.As(err, &fault) || fault.Code != code || fault.State.Mark != mark {
		t.Fatalf("error %v, want %s at %d", err, code, mark)
	}
}

func TestARetryChangesNothing(t *testing.T) {
	s := open(t, Config{})
	refused := put("b", "2")
	refused.IfMatch = edge.Condition{Any: true}
	b := batch(1, 0, 1, put("a", "1"), refused, del("a"), put("a", "3"))
	first := send(t, s, b)
	again := send(t, s, b)
	if again.Revision != first.Revision || again.Session.Mark != 4 {
		t.Errorf("the retry left revision %d, mark %d", again.Revision, again.Session.Mark)
	}
	for i, r := range again.Results {
		want := edge.Taken
		if i == 1 {
			want = edge.Mismatch
		}
		if !r.Duplicate || r.Verdict != want {
			t.Errorf("operation %d: %+v, want a duplicate with verdict %d", i, r, want)
		}
	}
}

func TestARetryThatIsCutOtherwise(t *testing.T) {
	s := open(t, Config{})
	refused := put("c", "")
	refused.IfMatch = edge.Condition{Any: true}
	ops := []edge.Op{put("a", "1"), put("b", "2"), refused, put("d", "4")}
	send(t, s, batch(1, 0, 1, ops...))
	send(t, s, batch(1, 0, 1, ops[:2]...)) // the reply was lost, the batches are halved
	out := send(t, s, batch(1, 2, 3, append(ops[2:], put("e", "5"))...))
	want := []edge.Result{{Seq: 3, Verdict: edge.Mismatch, Duplicate: true},
		{Seq: 4, Verdict: edge.Taken, Duplicate: true}, {Seq: 5, Verdict: edge.Created, Revision: 4}}
	for i, r := range out.Results {
		if r != want[i] {
			t.Errorf("%+v, want %+v", r, want[i])
		}
	}
	out = send(t, s, batch(1, 2, 3, append(ops[2:], put("e", "5"))...))
	if r := out.Results[0]; r.Verdict != edge.Mismatch {
		t.Errorf("an old refusal was forgotten while it could be asked for: %+v", r)
	}
}

func TestSequenceGap(t *testing.T) {
	s := open(t, Config{})
	wantFault(t, s, batch(1, 7, 8, put("a", "1")), "sequence-gap", 0)
	send(t, s, batch(1, 0, 1, put("a", "1")))
	wantFault(t, s, batch(1, 2, 3, put("a", "2")), "sequence-gap", 1)
	send(t, s, batch(1, 1, 900, put("a", "2"))) // numbers may be left out
}

func TestZombieEpoch(t *testing.T) {
	s := open(t, Config{})
	send(t, s, batch(1, 0, 1, put("a", "1")))
	if out := send(t, s, batch(2, 1, 0)); out.Session.Epoch != 2 || out.Session.Mark != 1 {
		t.Fatalf("the handshake answers %+v", out.Session)
	}
	wantFault(t, s, batch(1, 1, 2, put("a", "2")), "fenced", 1)
}

func TestClonedDeviceDirectory(t *testing.T) {
	s := open(t, Config{})
	original := batch(3, 0, 1, put("a", "1"))
	original.Sender.Instance = "first"
	send(t, s, original)
	clone := batch(3, 1, 2, put("a", "2"))
	clone.Sender.Instance = "second"
	wantFault(t, s, clone, "session-cloned", 1)
}

func TestTheSameBatchWithOtherContents(t *testing.T) {
	s := open(t, Config{})
	send(t, s, batch(1, 0, 1, put("a", "1")))
	if _, err := s.Apply(t.Context(), batch(1, 0, 1, put("a", "12"))); !errors.Is(err, edge.ErrReused) {
		t.Fatal(err)
	}
}

func TestAtomicRefusalLeavesNothing(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, put("a", "1"))
	bad := put("c", "3")
	bad.IfNoneMatch = edge.Condition{Any: true}
	b := batch(1, 0, 1, put("a", "2"), put("c", "2"), bad, del("a"), bad)
	b.Atomic = true
	_, err := s.Apply(t.Context(), b)
	var refused *edge.RefusedError
	if !errors.As(err, &refused) || refused.First() != 2 || !refused.Results[4].Verdict.Refused() {
		t.Fatalf("%v", err)
	}
	if e, err := s.Get(t.Context(), []byte("a"), edge.Read{}); err != nil || string(e.Value) != "1" {
		t.Errorf("%s, %v", e.Value, err)
	}
	if st := s.Status(); st.Revision != 1 || st.Keys != 1 {
		t.Errorf("%+v", st)
	}
	b.Ops[2] = edge.Op{Kind: edge.Delete, Key: []byte("c"), Seq: 3}
	b.Ops[4] = edge.Op{Kind: edge.Delete, Key: []byte("x"), Seq: 5}
	if out := send(t, s, b); out.Session.Mark != 5 {
		t.Errorf("mark %d", out.Session.Mark)
	}
}

func TestSessionsAreBoundedAndExpireOnceTheyAreBackedUp(t *testing.T) {
	var at clock
	s := open(t, Config{Sessions: 2, BackedUp: true, Now: at.now})
	for i := range 3 {
		b := batch(1, 0, 1, put("a", "1"))
		b.Sender.Session = fmt.Sprint("s", i)
		if _, err := s.Apply(t.Context(), b); (i == 2) != errors.Is(err, edge.ErrSessions) {
			t.Fatalf("session %d: %v", i, err)
		}
	}
	at.turn(91 * 24 * time.Hour)
	if n := s.Sweep(t.Context()); n != 0 {
		t.Fatalf("%d sessions went that are in no backup", n)
	}
	if err := s.MarkBackedUp(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := s.Sweep(t.Context()); n != 1 {
		t.Fatalf("%d sessions went, want 1", n)
	}
	b := batch(1, 0, 1, put("a", "1"))
	b.Sender.Session = "s2"
	send(t, s, b)
}

func TestMarksFollowTheBackup(t *testing.T) {
	s := open(t, Config{BackedUp: true})
	for i := range uint64(200) {
		out := send(t, s, batch(1, i, i+1, put("a", "1")))
		if i%3 == 0 {
			if err := s.MarkBackedUp(t.Context(), out.Revision); err != nil {
				t.Fatal(err)
			}
		}
		state, err := s.Session(t.Context(), "lamp", "q")
		if err != nil {
			t.Fatal(err)
		}
		if at := state.BackedUp.At; at > i/3*3+1 || i > 2*keptPoints && at+2*keptPoints < i {
			t.Fatalf("at number %d, %d is said to be backed up", i+1, at)
		}
	}
	if err := s.MarkBackedUp(t.Context(), s.Status().Revision); err != nil {
		t.Fatal(err)
	}
	if state, err := s.Session(t.Context(), "lamp", "q"); err != nil || state.BackedUp.At != 200 {
		t.Fatalf("%+v, %v", state, err)
	}
}

func TestMarksMoveWhileNothingIsBackedUpForLong(t *testing.T) {
	row := &session{}
	for i := range uint64(1000) {
		row.thin(0)
		row.mark = i + 1
		row.written(i+1, 0)
		if len(row.points) > keptPoints {
			t.Fatalf("%d points", len(row.points))
		}
	}
	if row.at(1000) != 1000 || row.at(999) == 0 {
		t.Errorf("at 1000: %d, at 999: %d", row.at(1000), row.at(999))
	}
}

func TestSessionRowsAreReadAsWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		row := session{epoch: rng.Uint64(), instance: "i", mark: rng.Uint64(), revision: rng.Uint64(),
			used: rng.Int64(), refused: []refusal{}, points: []point{}}
		for i := range rng.IntN(5) {
			row.refused = append(row.refused, refusal{uint64(i), edge.Mismatch})
			row.points = append(row.points, point{uint64(i), rng.Uint64()})
		}
		b := row.encode(nil)
		var got session
		if err := got.decode(b); err != nil || fmt.Sprint(got) != fmt.Sprint(row) {
			t.Fatalf("%v: %+v, want %+v", err, got, row)
		}
		for n := range b {
			if err := new(session).decode(b[:n]); err == nil {
				t.Fatalf("%d of %d bytes are taken for a row", n, len(b))
			}
		}
	}
}
