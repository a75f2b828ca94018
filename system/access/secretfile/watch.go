package secretfile

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"time"
)

// watchLimit bounds how much of a file is compared.
const watchLimit = 16 << 20

// Watch calls changed whenever the contents of one of the files differ from what they were at the last
// look, until ctx is done. The first look is the caller's: last is the [Digest] of the files, taken before
// they were read, so that no change falls between reading and watching.
func Watch(ctx context.Context, every time.Duration, last Sum, changed func(), paths ...string) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if now := Digest(paths...); now != last {
				last = now
				changed()
			}
		}
	}
}

// Sum stands for the contents of files.
type Sum [sha256.Size]byte

// Digest sums up the contents of files; one that cannot be read counts as different from every one that
// can.
func Digest(paths ...string) Sum {
	h := sha256.New()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			_, _ = io.WriteString(h, "\x00missing\x00")
			continue
		}
		_, err = io.Copy(h, io.LimitReader(f, watchLimit))
		if errors.Join(err, f.Close()) != nil {
			_, _ = io.WriteString(h, "\x00unreadable\x00")
		}
		_, _ = h.Write([]byte{0, 1, 2, 3})
	}
	return Sum(h.Sum(nil))
}
