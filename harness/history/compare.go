package history

import (
	"fmt"
	"slices"
	"strings"

	"metronome/system/wire"
)

// anonymous marks a revision whose name nobody was told: it may be any.
const anonymous = 1 << 63

func sameRevision(a, b uint64) bool { return a == b || (a|b)&anonymous != 0 }

// differs says in what an answer is not the one wanted, or nothing if it is.
func differs(c *Call, want, got *Answer) string {
	switch {
	case want.Status != got.Status:
		return fmt.Sprintf("status %d, want %d", got.Status, want.Status)
	case got.Blind:
		return ""
	case !sameRevision(want.Revision, got.Revision) && c.Op != wire.OpScan:
		return fmt.Sprintf("revision %d, want %d", got.Revision, want.Revision)
	case want.Value != got.Value:
		return fmt.Sprintf("value %s, want %s", brief(got.Value), brief(want.Value))
	case want.Existed != got.Existed && c.Op != wire.OpGet:
		return fmt.Sprintf("existed %v, want %v", got.Existed, want.Existed)
	}
	switch c.Op {
	case wire.OpMulti:
		return multiDiffers(c, want, got)
	case wire.OpScan:
		return scanDiffers(c, want, got)
	case wire.OpSession:
		if !sameRevision(uint64(want.Number), uint64(got.Number)) {
			return fmt.Sprintf("session %d, want %d", got.Number, want.Number)
		}
		return ""
	}
	told := want.Status == wire.StatusOK && (c.Op != wire.OpGet || c.Stat)
	if told && want.Number != got.Number {
		return fmt.Sprintf("number %d, want %d", got.Number, want.Number)
	}
	return ""
}

func multiDiffers(c *Call, want, got *Answer) string {
	if len(got.Answers) != len(want.Answers) {
		return fmt.Sprintf("%d answers, want %d", len(got.Answers), len(want.Answers))
	}
	for i := range want.Answers {
		if s := differs(&c.Calls[i], &want.Answers[i], &got.Answers[i]); s != "" {
			return fmt.Sprintf("part %d: %s", i, s)
		}
	}
	return ""
}

func sameEntry(a, b Entry) bool {
	return a.Key == b.Key && a.Value == b.Value && sameRevision(a.Revision, b.Revision)
}

func scanDiffers(c *Call, want, got *Answer) string {
	if c.Scan.ByHash {
		return subsetDiffers(c, want, got)
	}
	if want.More != got.More || !slices.EqualFunc(want.Entries, got.Entries, sameEntry) {
		return fmt.Sprintf("%d keys, more %v: %v, want %d, more %v: %v",
			len(got.Entries), got.More, *got, len(want.Entries), want.More, *want)
	}
	return ""
}

// subsetDiffers checks what can be known of a scan by hash without its hash: nothing twice, nothing
// that is not there, not more than asked for, and nothing left out if it is one whole walk.
func subsetDiffers(c *Call, want, got *Answer) string {
	seen := map[string]bool{}
	for _, e := range got.Entries {
		i, found := slices.BinarySearchFunc(want.Entries, e.Key,
			func(w Entry, key string) int { return strings.Compare(w.Key, key) })
		if !found || seen[e.Key] || !sameEntry(want.Entries[i], e) {
			return fmt.Sprintf("key %s at revision %d is not there, or twice", brief(e.Key), e.Revision)
		}
		seen[e.Key] = true
	}
	whole := c.Scan.Cursor == 0 && !got.More
	if len(got.Entries) > c.Scan.Limit || whole && len(got.Entries) != len(want.Entries) {
		return fmt.Sprintf("%d keys of %d, limit %d", len(got.Entries), len(want.Entries), c.Scan.Limit)
	}
	return ""
}

// sameCall reports whether a logged call is the one that was sent; the low mark moves between
// attempts.
func sameCall(a, b *Call) bool {
	same := a.Op == b.Op && a.Key == b.Key && a.Value == b.Value && a.Expect == b.Expect &&
		a.Delta == b.Delta && a.Previous == b.Previous && a.Present == b.Present && a.Stat == b.Stat &&
		a.Session == b.Session && a.Number == b.Number && a.Scan == b.Scan && len(a.Calls) == len(b.Calls)
	for i := 0; same && i < len(a.Calls); i++ {
		same = sameCall(&a.Calls[i], &b.Calls[i])
	}
	return same
}
