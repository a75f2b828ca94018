package resp

import "sync"

// freeList keeps what connections give back for the next: a bounded number for good, so that a few
// busy connections never allocate, and more until the next garbage collection. (A sync.Pool alone
// misses every other time when a connection's goroutine moves between processors.)
type freeList[T any] struct {
	mu   sync.Mutex
	kept []*T
	more sync.Pool
}

const keepFree = 256

// get returns one, or nil.
func (f *freeList[T]) get() *T {
	f.mu.Lock()
	if n := len(f.kept); n > 0 {
		x := f.kept[n-1]
		f.kept = f.kept[:n-1]
		f.mu.Unlock()
		return x
	}
	f.mu.Unlock()
	x, _ := f.more.Get().(*T)
	return x
}

func (f *freeList[T]) put(x *T) {
	f.mu.Lock()
	if len(f.kept) < keepFree {
		f.kept = append(f.kept, x)
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	f.more.Put(x)
}
