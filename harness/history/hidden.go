package history

import (
	"hash/maphash"

	"metronome/system/wire"
)

// named is a state that is never changed, and its hash: the sum over its keys, so that a step need
// not visit them all.
type named struct {
	*state
	hash uint64
}

// seed makes hashes; they order nothing, so that its randomness decides nothing.
var seed = maphash.MakeSeed()

func hashOf(key string, v version) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(key)
	h.WriteByte(0)
	h.WriteString(v.value)
	h.WriteByte(byte(v.revision))
	h.WriteByte(byte(v.revision >> 8))
	h.WriteByte(byte(v.revision >> 16))
	return h.Sum64() | 1
}

func equal(a, b named) bool {
	if a.hash != b.hash || len(a.keys) != len(b.keys) {
		return false
	}
	for key, v := range a.keys {
		if w, ok := b.keys[key]; !ok || v != w {
			return false
		}
	}
	return true
}

// step executes a request on a copy of a state and reports whether that explains the answers.
func step(s named, in *request, answers []Answer) (bool, any) {
	next, hash := s.state, s.hash
	for i := range in.calls {
		c := &in.calls[i]
		if !readOnly(c) && next == s.state {
			next = next.clone()
		}
		hash -= next.hashOfKeys(c)
		want := next.hiddenApply(in, c, answers, i)
		hash += next.hashOfKeys(c)
		if !in.open && (i >= len(answers) || differs(c, &want, &answers[i]) != "") {
			return false, s
		}
	}
	return true, named{next, hash}
}

// hashOfKeys is the share in a state's hash of the keys a call may change.
func (s *state) hashOfKeys(c *Call) (sum uint64) {
	if readOnly(c) {
		return 0
	}
	seen := map[string]bool{}
	add := func(key string) {
		if v, ok := s.keys[key]; ok && !seen[key] {
			seen[key] = true
			sum += hashOf(key, v)
		}
	}
	add(c.Key)
	for i := range c.Calls {
		add(c.Calls[i].Key)
	}
	return sum
}

// hiddenApply is apply with names for indexes. Whether a compare-and-set matches a version whose
// name nobody was told is known to its answer alone.
func (s *state) hiddenApply(in *request, c *Call, answers []Answer, i int) Answer {
	old := s.keys[c.Key]
	if c.Op == wire.OpCAS && old.revision&anonymous != 0 && c.Expect != 0 {
		guess := *c
		guess.Expect = old.revision
		if !in.open && i < len(answers) && answers[i].Status == wire.StatusMismatch {
			guess.Expect = 0
		}
		return s.apply(in.name, &guess)
	}
	return s.apply(in.name, c)
}
