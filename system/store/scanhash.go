package store

import (
	"bytes"
	"cmp"
	"slices"
)

// scanEffort is how many keys a scan by hash looks at before it stops at the end of a slot, whether
// they match or not. The caller goes on from the cursor.
const scanEffort = 10_000

// slotStart is the lowest hash of a slot.
func slotStart(n int, shift uint8) uint64 { return uint64(n) << shift }

// collectByHash walks whole slots in order of hash. What a slot yields is cut off in the order of its
// keys' hashes, but never between equal ones, which the cursor could not tell apart.
func (p *part) collectByHash(g *gather, sh *share, f *filling) {
	examined := 0
	for n := max(p.slotNumber(g.args.Cursor), p.first); n < p.first+len(p.slots); n++ {
		if examined >= scanEffort || f.limit == 0 {
			sh.more, sh.rest = true, slotStart(n, p.shift)
			return
		}
		p.collectSlot(n, g, sh, f)
		count := int(p.slots[n-p.first].count)
		p.gather.marks = append(p.gather.marks, mark{n, count, len(p.gather.found)})
		if examined += count; sh.more {
			return
		}
	}
}

func (p *part) collectSlot(n int, g *gather, sh *share, f *filling) {
	sorted := p.sortSlot(n, g)
	for i, h := range sorted {
		key := p.answer(keyOf(h.rec))
		e := p.entry(key, h.rec, g.args.Values)
		same := i > 0 && h.hash == sorted[i-1].hash
		if !f.take(&e, len(p.gather.found) == sh.from) && !same {
			sh.more, sh.rest = true, h.hash
			return
		}
		p.gather.found = append(p.gather.found, found{h.hash, e})
	}
}

// sortSlot returns the slot's records that match and lie at or beyond the cursor, by hash and key.
func (p *part) sortSlot(n int, g *gather) []hashed {
	p.gather.sorted = p.gather.sorted[:0]
	for _, e := range p.slots[n-p.first].table {
		if e == 0 {
			continue
		}
		rec := p.at(ref(e & refMask))
		key := keyOf(rec)
		if hash := p.hashOf(key); hash >= g.args.Cursor && bytes.HasPrefix(key, g.prefix) {
			p.gather.sorted = append(p.gather.sorted, hashed{hash, rec})
		}
	}
	slices.SortFunc(p.gather.sorted, compareHashed)
	return p.gather.sorted
}

// compareHashed is the canonical order of keys: by hash, then bytewise.
func compareHashed(a, b hashed) int {
	if c := cmp.Compare(a.hash, b.hash); c != 0 {
		return c
	}
	return bytes.Compare(keyOf(a.rec), keyOf(b.rec))
}
