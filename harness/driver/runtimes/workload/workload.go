package workload

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
)

// Bounds of a workload.
const (
	MaxN     = 10_000_000
	MaxValue = 1 << 20
	spare    = 64 << 10 // bytes of the pool beyond the largest value
)

// Spec says what a workload is made of. The same Spec makes the same bytes.
type Spec struct {
	Seed   uint64
	Prefix string // of every key
	N      int    // operations, each on a key of its own
	Value  int    // the largest value's bytes; the smallest has a sixteenth
}

// Workload is what is in a file.
type Workload struct {
	Keys []string
	Pool []byte
	span [][2]int // of each key's value: from, to
}

// Value is the value of the i-th key; it must not be changed.
func (w *Workload) Value(i int) []byte { return w.Pool[w.span[i][0]:w.span[i][1]] }

// New makes a workload.
func New(s Spec) (*Workload, error) {
	if s.N < 1 || s.N > MaxN || s.Value < 1 || s.Value > MaxValue {
		return nil, fmt.Errorf("workload: %d operations of %d bytes: use 1 to %d of 1 to %d", s.N, s.Value, MaxN,
			MaxValue)
	}
	rng := rand.New(rand.NewPCG(s.Seed, uint64(s.N)<<24|uint64(s.Value)))
	w := &Workload{Keys: make([]string, s.N), span: make([][2]int, s.N), Pool: make([]byte, spare+s.Value)}
	for i := range w.Pool {
		w.Pool[i] = byte(rng.Uint32())
	}
	least := max(1, s.Value/16)
	for i, k := range rng.Perm(s.N) {
		w.Keys[i] = fmt.Sprintf("%s%08d", s.Prefix, k)
		from, size := rng.IntN(spare), least+rng.IntN(s.Value-least+1)
		w.span[i] = [2]int{from, from + size}
	}
	return w, nil
}

// WriteFile writes the workload to a file that does not exist.
func (w *Workload) WriteFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = w.WriteTo(f)
	return errors.Join(err, f.Close())
}

// WriteTo implements io.WriterTo.
func (w *Workload) WriteTo(to io.Writer) (int64, error) {
	b := bufio.NewWriterSize(to, 1<<20)
	n, err := fmt.Fprintf(b, "metronome-workload 1 %d %d\n", len(w.Keys), len(w.Pool))
	total := int64(n)
	for i, key := range w.Keys {
		if err != nil {
			return total, err
		}
		n, err = fmt.Fprintf(b, "%s %d %d\n", key, w.span[i][0], w.span[i][1]-w.span[i][0])
		total += int64(n)
	}
	n, last := b.Write(w.Pool)
	return total + int64(n), errors.Join(err, last, b.Flush())
}

// Checksum is what a client prints that wrote or read all of it; with keys only, what one prints that
// deleted all of it.
func (w *Workload) Checksum(keysOnly bool) uint32 {
	sum := uint32(0)
	for i, key := range w.Keys {
		sum = crc32.Update(sum, crc32.IEEETable, []byte(key))
		if !keysOnly {
			sum = crc32.Update(sum, crc32.IEEETable, w.Value(i))
		}
	}
	return sum
}
