package slots

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/wire"
)

// Entry is the value of a slot in a ballot; an empty decision is nothing.
type Entry struct {
	Slot, Ballot uint64
	Decision     []byte
}

// EntryBytes is what an entry takes beyond its decision, at most.
const EntryBytes = 20

// Size is how many bytes entries take, at most.
func Size(entries []Entry) (n int) {
	for i := range entries {
		n += EntryBytes + len(entries[i].Decision)
	}
	return n
}

// Cut is what the gate has to judge of an entry that was checked when it was decoded.
func (e *Entry) Cut() order.Cut {
	cut, _ := order.CutOf(e.Decision)
	return cut
}

// AppendEntries writes entries; placed ones with slot and ballot.
func AppendEntries(w *wire.Writer, entries []Entry, placed bool) {
	for i := range entries {
		if placed {
			w.U64(entries[i].Slot)
			w.U64(entries[i].Ballot)
		}
		w.Bytes(entries[i].Decision)
	}
}

// ReadEntries reads entries to the end: placed, or the ones from first on of a ballot. They share no
// memory with what is read.
func ReadEntries(r *wire.Reader, placed bool, first, ballot uint64) (entries []Entry) {
	for r.Left() > 0 && r.OK() {
		e := Entry{Slot: first + uint64(len(entries)), Ballot: ballot}
		if placed {
			e.Slot, e.Ballot = r.U64(), r.U64()
		}
		e.Decision = Own(r)
		entries = append(entries, e)
	}
	return entries
}

// Own reads bytes into memory of their own; nil if there are none.
func Own(r *wire.Reader) []byte { return append([]byte(nil), r.Bytes()...) }

// CheckEntries refuses entries that no algorithm sends or writes: slots that do not ascend from beyond after,
// ballots that are none or above highest, and decisions that are none.
func CheckEntries(entries []Entry, after, highest uint64) error {
	for i := range entries {
		e := &entries[i]
		if e.Slot <= after || e.Slot > MaxNumber || e.Ballot == 0 || e.Ballot > highest {
			return fmt.Errorf("%w: its entries are out of order", order.ErrMalformed)
		}
		after = e.Slot
		if _, err := order.CutOf(e.Decision); err != nil {
			return err
		}
	}
	return nil
}

// Dense reports whether each entry's slot follows that of the one before.
func Dense(entries []Entry) bool {
	for i := 1; i < len(entries); i++ {
		if entries[i].Slot != entries[i-1].Slot+1 {
			return false
		}
	}
	return true
}

// Describe says in a few words what an entry is.
func (e *Entry) Describe() string {
	return fmt.Sprintf(" [%d of %s, %d bytes]", e.Slot, Name(e.Ballot), len(e.Decision))
}
