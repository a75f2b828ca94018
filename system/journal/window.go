package journal

import (
	"errors"
	"io"
	"syscall"

	"metronome/system/disk"
)

// window shows the bytes of a file through a bounded buffer. A block that cannot be read shows as
// zeros, and is remembered.
type window struct {
	file       disk.File
	size       int64 // of the file
	buf        []byte
	at         int64 // what buf begins with
	ahead      int64 // how much is read at once; 0 is readAhead
	unreadable map[int64]bool
}

// readAhead is how much is read at once where nobody says.
const readAhead = 1 << 20

func (w *window) reset(file disk.File, size int64) {
	w.file, w.size, w.at, w.buf = file, size, 0, w.buf[:0]
	w.unreadable = nil
}

// bytes are n bytes at off, fewer at the end of the file; valid until the next call.
func (w *window) bytes(off, n int64) ([]byte, error) {
	n = min(n, w.size-off)
	if n <= 0 {
		return nil, nil
	}
	if off < w.at || off+n > w.at+int64(len(w.buf)) {
		ahead := w.ahead
		if ahead == 0 {
			ahead = readAhead
		}
		if err := w.load(off, min(max(n, ahead), w.size-off)); err != nil {
			return nil, err
		}
	}
	n = min(n, w.at+int64(len(w.buf))-off)
	return w.buf[off-w.at:][:n], nil
}

func (w *window) load(off, n int64) error {
	if int64(cap(w.buf)) < n || int64(cap(w.buf)) > 4*max(n, readAhead) {
		w.buf = make([]byte, n)
	}
	w.buf, w.at = w.buf[:n], off
	got, err := w.file.ReadAt(w.buf, off)
	if err == nil || int64(got) == n {
		return nil
	}
	if errors.Is(err, io.EOF) { // shorter than it was
		w.buf = w.buf[:got]
		return nil
	}
	return w.salvage()
}

// salvage reads block by block what could not be read at once. A block that the disk cannot give is
// damage like any other; no other error is.
func (w *window) salvage() error {
	if w.unreadable == nil {
		w.unreadable = map[int64]bool{}
	}
	for at := int64(0); at < int64(len(w.buf)); {
		off := w.at + at
		n := min(blockSize-off%blockSize, int64(len(w.buf))-at)
		if got, err := w.file.ReadAt(w.buf[at:at+n], off); err != nil && int64(got) < n {
			if !errors.Is(err, syscall.EIO) {
				return err
			}
			clear(w.buf[at : at+n])
			w.unreadable[off/blockSize] = true
		}
		at += n
	}
	return nil
}

// spoilt reports whether any of the n bytes at off could not be read.
func (w *window) spoilt(off, n int64) bool {
	for b := off / blockSize; b*blockSize < off+n && w.unreadable != nil; b++ {
		if w.unreadable[b] {
			return true
		}
	}
	return false
}
