package master_test

import (
	"maps"
	"testing"
	"time"

	"metronome/system/master/phi"
	"metronome/system/master/vault"
)

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	n := 0
	for k, v := range want {
		if got[k] != v {
			if n++; n < 5 {
				t.Errorf("%s is %q, want %q", k, got[k], v)
			}
		}
	}
	t.Fatalf("%d keys, want %d; %d differ", len(got), len(want), n)
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	h.put("a", 0, 5000)
	h.begin()
	h.safe()
	h.put("b", 2000, 3000)
	h.safe()
	want := holds(t, h.store)
	done, dir, err := h.restored(vault.Target{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, dir), want)
	if done.Epoch != 1 || done.Revision != h.store.Status().Revision || done.Keys != 5000 {
		t.Errorf("%+v", done)
	}
	e := h.show()
	if e.Newest == nil || e.Newest.Reach != done.Revision || e.Passive.State != phi.Fresh ||
		e.BackupAge > time.Minute {
		t.Errorf("%+v", e)
	}
	if again, _, err := h.restored(vault.Target{}); err != nil || again.Epoch != 2 {
		t.Errorf("the next restore has epoch %+v, %v", again, err)
	}
}

func TestRestoreToAnyRevisionAndTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	type point struct {
		revision uint64
		at       time.Time
		want     map[string]string
	}
	var points []point
	for i, round := range []string{"a", "b", "c", "d", "e", "f"} {
		h.put(round, i*10, i*10+200)
		h.safe()
		points = append(points, point{h.store.Status().Revision, w.now(), holds(t, h.store)})
		w.jump(time.Hour)
		if i == 2 { // another process, another chain
			h.close()
			h.open().begin()
			h.safe()
		}
	}
	for _, p := range points {
		_, dir, err := h.restored(vault.Target{Revision: p.revision})
		if err != nil {
			t.Fatal(err)
		}
		same(t, contents(t, dir), p.want)
		done, dir, err := h.restored(vault.Target{Time: p.at})
		if err != nil || done.Revision != p.revision {
			t.Fatalf("%+v, %v", done, err)
		}
		same(t, contents(t, dir), p.want)
	}
	if _, _, err := h.restored(vault.Target{Revision: points[5].revision + 1}); err == nil {
		t.Error("restored to a revision that does not exist")
	}
}
