package queue

import "bytes"

// Rules declares prefixes of keys whose operations are treated in a way of their own. The longest
// prefix that fits a key decides. Changing the rules changes what happens from then on, never what
// is stored.
type Rules struct {
	// History: every operation is sent, even if it is overwritten at once.
	History []string
	// LatestOnly: only a key's newest operation matters, so older ones are skipped across requests
	// too, and give way when the queue is full.
	LatestOnly []string
	// DropOldest: when the queue is full, the oldest operations give way. Counted, never silent.
	DropOldest []string
	// SendAll switches skipping off altogether.
	SendAll bool
}

type class struct{ history, latest, drop bool }

// of finds the class of key: per list the longest prefix counts, and between History and LatestOnly
// too.
func (r *Rules) of(key []byte) (c class) {
	h, l := longest(r.History, key), longest(r.LatestOnly, key)
	c.history = r.SendAll || h > 0 && h >= l
	c.latest = !c.history && l > 0
	c.drop = longest(r.DropOldest, key) > 0
	return c
}

// longest returns one more than the length of the longest prefix that fits, 0 if none does.
func longest(prefixes []string, key []byte) (n int) {
	for _, p := range prefixes {
		if len(p)+1 > n && len(p) <= len(key) && bytes.Equal(key[:len(p)], []byte(p)) {
			n = len(p) + 1
		}
	}
	return n
}
