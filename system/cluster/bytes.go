package cluster

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size. In the file it is a number of bytes, or one with a unit: 64KiB, 16MiB, 4GiB.
type Bytes int64

var units = []struct {
	name  string
	shift uint
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, shift := string(text), uint(0)
	for _, u := range units {
		if s, ok := strings.CutSuffix(number, u.name); ok {
			number, shift = strings.TrimSpace(s), u.shift
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is no size: use bytes, or KiB, MiB, GiB, as in 16MiB", text)
	}
	*b = Bytes(n << shift)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String is the size in the largest unit that leaves no fraction.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%(1<<u.shift) == 0 && u.shift > 0 {
			return strconv.FormatInt(int64(b>>u.shift), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
