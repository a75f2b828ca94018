package journal

import (
	"fmt"
	"strings"
)

// Report is what Open found.
type Report struct {
	Segments int    // files that hold records
	First    uint64 // the first record that is kept
	Next     uint64 // the number the next record will get
	Records  uint64 // that can be read
	Bytes    int64  // of these records

	// Torn is how many bytes were written after the last sync that is known of, were not whole, and
	// are gone: nobody was told that they are durable. In a recycled segment, what is not recognized
	// as ours is not counted.
	Torn int64
	// Harmless is how many blocks are not what was written there, yet held nothing that is needed.
	Harmless int
	// Damage is what was durable and is no more, in order. Near the bound of 1024 entries
	// neighbours are merged.
	Damage []Damage
}

// Damage is a stretch of the journal that was durable and cannot be read.
type Damage struct {
	Segment uint64
	Offset  int64  // in the segment's file
	Length  int64  // bytes; 0 if not known
	First   uint64 // records [First, Next) are lost, or may be
	Next    uint64
	Why     string
}

// lostNumbers is how many numbers are left out when it is not known how many records were lost at the
// journal's end: none of them may be given to another record.
const lostNumbers = 1 << 32

const maxDamage = 1024

// Intact reports that nothing durable is lost, as far as can be known: see the package's guarantee.
func (r *Report) Intact() bool { return len(r.Damage) == 0 }

// String describes the report in a line, and each damage in one more.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records in %d segments, %d bytes, numbers %d to %d", r.Records, r.Segments, r.Bytes,
		r.First, r.Next)
	if r.Torn > 0 {
		fmt.Fprintf(&b, "; a torn tail of %d bytes, never synced, was dropped", r.Torn)
	}
	if r.Harmless > 0 {
		fmt.Fprintf(&b, "; %d bad blocks that held no record", r.Harmless)
	}
	for _, d := range r.Damage {
		fmt.Fprintf(&b, "\n%v", d)
	}
	return b.String()
}

// String describes one damage.
func (d Damage) String() string {
	return fmt.Sprintf("damage: records %d to %d are lost: %s (segment %d, offset %d, %d bytes)",
		d.First, d.Next, d.Why, d.Segment, d.Offset, d.Length)
}

// lose notes that records [d.First, d.Next) are lost.
func (r *Report) lose(d Damage) {
	if r == nil {
		return
	}
	if n := len(r.Damage); n > 0 {
		last := &r.Damage[n-1]
		near := last.Segment == d.Segment && last.Offset == d.Offset && last.Next == d.First
		if near || n == maxDamage {
			last.Next = d.Next
			return
		}
	}
	r.Damage = append(r.Damage, d)
}

func (r *Report) harmless(blocks int64) {
	if r != nil {
		r.Harmless += int(blocks)
	}
}
