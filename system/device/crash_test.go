package device

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"

	"metronome/system/device/queue"
	"metronome/system/disk/fault"
)

var damageStep = flag.Int("device.step", 97, "bytes from one damage to the next; 1 damages every byte")

// onFault gives the bench a disk that fails on purpose.
func (b *bench) onFault(fs *fault.FS) {
	b.cfg.FS, b.cfg.Dir, b.cfg.SegmentBytes = fs, "store", 64<<10
	b.cfg.Place = func() string { return "here" }
}

// work is a life with puts, deletes, a refused operation, flushes and a restart. It returns the
// values whose puts were acknowledged, as far as it came.
func (b *bench) work(from int) (acknowledged []string) {
	for life := range 2 {
		d, err := Open(b.cfg)
		if err != nil {
			return acknowledged
		}
		for i := range 6 {
			n := from + life*6 + i
			value := fmt.Sprint("v", n)
			if _, err := d.Put(context.Background(), fmt.Sprint("k", n), []byte(value)); err != nil {
				break
			}
			acknowledged = append(acknowledged, value)
			if i%3 == 1 {
				ctx, cancel := context.WithCancel(context.Background())
				stop := context.AfterFunc(d.ctx, cancel)
				_ = d.Flush(ctx, queue.Edge)
				stop()
				cancel()
			}
			if i == 4 {
				_, _ = d.Put(context.Background(), "bad", []byte("x"))
			}
		}
		if d.Close() != nil {
			return acknowledged
		}
	}
	return acknowledged
}

// Anchors §11, 1: "acked but lost on power cut". The plug is pulled at every operation on the disk,
// and what was not synced is dropped, kept or torn.
func TestPowerCutAtEveryWrite(t *testing.T) {
	for n := uint64(0); ; n++ {
		if crashed := powerCut(t, n); !crashed {
			t.Logf("%d operations on the disk", n)
			return
		}
	}
}

func powerCut(t *testing.T, n uint64) bool {
	b := newBench(t)
	b.edge.Refuse(refuseBad)
	fs := fault.New(n)
	fs.Hook = fault.CrashAt(n)
	b.onFault(fs)
	acknowledged := b.work(0)
	crashed := fs.Crashed()
	after := fs.Crash(n)
	after.Hook = nil
	b.onFault(after)
	b.open()
	if crashed && b.dev.Status().Found.Damaged {
		t.Fatalf("cut at %d: damage after a mere power cut: %+v", n, b.dev.Status().Found)
	}
	b.put("last", "last")
	b.flush(queue.Edge)
	b.once()
	b.executed(fmt.Sprintf("cut at %d", n), acknowledged)
	b.close()
	b.http.Close()
	return crashed
}

// executed checks that each of these values, and any value at all, was executed as often as
// promised.
func (b *bench) executed(when string, acknowledged []string) {
	b.t.Helper()
	got := b.count()
	for _, v := range acknowledged {
		if got[v] != 1 {
			b.t.Fatalf("%s: %s was acknowledged and executed %d times", when, v, got[v])
		}
	}
	for v, times := range got {
		if times > 1 {
			b.t.Fatalf("%s: %s was executed %d times", when, v, times)
		}
	}
}

// Anchors §11, 2: "buffer corrupt, service will not start". What lies on the disk is damaged at one
// offset after the other (-device.step=1: at every one), and every file cut there.
func TestDamageAtEveryOffset(t *testing.T) {
	b := newBench(t)
	b.cfg.Edges = nil
	fs := fault.New(1)
	b.onFault(fs)
	b.open()
	for i := range 8 {
		b.put(fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	b.close()
	step := *damageStep
	for _, name := range fs.Names() {
		if strings.HasSuffix(name, "lock") {
			continue
		}
		used := len(strings.TrimRight(string(fs.Bytes(name)), "\x00"))
		for at := 0; at < used; at += step {
			b.damaged(fs, name, at, func(p []byte) []byte { p[at] ^= 0x40; return p })
		}
		for at := 0; at < used; at += 10 * step {
			b.damaged(fs, name, at, func(p []byte) []byte { return p[:at] })
		}
	}
}

// damaged opens a copy of the store with one file damaged, and looks at what is left.
func (b *bench) damaged(fs *fault.FS, name string, at int, change func([]byte) []byte) {
	copied := fs.Kill()
	copied.Edit(name, change)
	c := b.cfg
	c.FS = copied
	d, err := Open(c)
	if err != nil {
		b.t.Fatalf("%s damaged at %d: %v", name, at, err)
	}
	s := d.Status()
	if s.Pending < 8 && !s.Found.Damaged && !s.Found.Anew {
		b.t.Fatalf("%s damaged at %d: %d of 8 operations left, and the report is %+v", name, at, s.Pending, s.Found)
	}
	if _, err := d.Put(context.Background(), "more", nil); err != nil {
		b.t.Fatalf("%s damaged at %d: the store takes nothing more: %v", name, at, err)
	}
	if err := d.Close(); err != nil {
		b.t.Fatalf("%s damaged at %d: close: %v", name, at, err)
	}
}
