package replica

// The journal has a bound on the disk, and it holds whatever the disk does:
//
//   - Frames are journaled only while there is room. Without, they stay in their lanes' windows: they are
//     not held as far as anybody is told (held), so no cut is accepted that rests on them (R11), and when the
//     windows are full the proxies send no more (R21). The orderer's records are always written: a
//     sixteenth of the bound is kept for them.
//   - A snapshot begins so early that, if the journal takes a quarter more until it is durable than it did
//     the time before, a sixteenth of the bound is left. It is captured in proportion to what is journaled,
//     and written with pauses; without them, which clients feel, when room is scarce.
//   - What else would hold records back does not for long: a log that some member lacks (trimTo), and frames
//     of a lane that stands still (carry).
//
// Two snapshots are on the disk while the second is written. Where both take less than three times the keys
// and values in them, the journal may have the rest. So a data directory takes at most Config.JournalBytes
// and three times the live data, or Config.JournalBytes and two snapshots, if those are more.
//
// The bound is lifted while a snapshot is sent to a peer or handed to an operator, and until one of its own
// has made room again: none is captured meanwhile, and to stand still until the end would be worse. It is
// lifted for a moment, too, when snapshots make no room: all replicas may hold frames that none of the others
// has room for, and only taking more of them decides anything.
//
// When a snapshot cannot be written (Unsaved), the one before and the journal behind it are what a restart
// needs, and nothing is trimmed. At the bound proxies are told to take no more writes (stalled), and so are
// clients, until a later attempt succeeds. What was taken before is decided as above, and so are reads and
// deletions, which may make the snapshot fit: but for no reason are frames journaled then that the bound
// has no room for. In the sixteenth that frames otherwise leave free, proxies are told to take nothing at
// all (closed) when a quarter of it is used. What lies in windows when all of it is waits for a snapshot.
// Beyond the bound come then only the records of orderers that decide no items: of elections, and of proxies
// that are started anew, some kilobytes each. The journal's floor on the disk bounds these.

// roomState is what a replica knows of the journal's place on the disk.
type roomState struct {
	takes   int64  // on the disk, as the driver told; 0: it did not
	takesAt uint64 // bytes when it did
	spare   int64  // what two snapshots leave of three times the live data
	size    int    // of the newest snapshot
	came    uint64 // bytes from the capture of the newest snapshot until it was durable; 0: none was
	shut    bool   // there was no room, and there are frames that are not journaled
	stuck   int    // ticks without room, beside snapshots, in which nothing was trimmed
	freed   uint64 // trim when that was last looked at
	over    bool   // the bound was lifted, and is passed still
	turned  uint64 // next when a snapshot was last captured
	past    uint64 // next when the one before it was
	carried uint64 // the last record that carry wrote
	unsaved int    // snapshots that could not be written since one was
	own     attempts
}

// JournalTakes tells what the journal takes on the disk, in bytes: its files, spare ones too, and what is on
// its way to them. From then on it is kept within its bound; 0 ends that.
func (r *Replica) JournalTakes(bytes int64) {
	r.journal.takes, r.journal.takesAt = bytes, r.journal.bytes
}

// measured takes note of a snapshot's size, and of the keys and values in it.
func (j *journalState) measured(data, size int) {
	j.size, j.spare = size, max(0, 3*int64(data)-2*int64(size))
}

// journalBound is what the journal may take.
func (r *Replica) journalBound() int64 { return int64(r.cfg.JournalBytes) + r.journal.spare }

const plenty = 1 << 62

// room is for how many bytes of frames there is room. What was journaled since the driver looked counts
// twice: at worst, a batch leaves as much behind at its segment's end.
func (r *Replica) room() int64 {
	j, space := &r.journal, r.space()
	switch {
	case !r.lent() && !j.over && j.stuck <= stuckTicks:
		return space
	case r.failing():
		return space + r.journalBound()/16
	}
	return plenty
}

// space is the same by the bound alone.
func (r *Replica) space() int64 {
	j := &r.journal
	if j.takes == 0 {
		return plenty
	}
	bound := r.journalBound()
	return bound - bound/16 - j.takes - 2*int64(j.bytes-j.takesAt)
}

// stalled reports whether the journal is at its bound and will be for as long as no snapshot can be written.
func (r *Replica) stalled() bool { return r.failing() && r.space() <= 0 }

// closed reports whether so much was journaled since it stalled that hardly what proxies took has room.
func (r *Replica) closed() bool { return r.failing() && r.space() <= -r.journalBound()/64 }

// failing reports whether snapshots cannot be written, and another is to be: only that makes room.
func (r *Replica) failing() bool {
	return r.journal.unsaved > 0 && (r.applied > r.journal.saved || r.transfer.in != nil)
}

// lent reports whether what was captured is read by somebody else: none can be captured meanwhile.
func (r *Replica) lent() bool { return r.transfer.sending() || r.export.out != nil }

// Pressed reports whether the journal is so near its bound that a snapshot had better be durable soon.
func (r *Replica) Pressed() bool { return r.journal.shut || r.room() < r.journalBound()/32 }

// held is how many frames of a lane may be counted on. As long as there is room that is all there are, for
// whatever rests on them is journaled behind them.
func (r *Replica) held(l *laneState) uint64 {
	mark := l.recv.Mark().Frames
	if r.journal.shut {
		mark = min(mark, max(l.journaled, l.cut.Frames))
	}
	return mark
}

// steerRoom stops journaling frames when there is no room, and catches up when there is. It stops behind
// everything that came: it may have been counted on.
func (r *Replica) steerRoom() {
	j := &r.journal
	if !j.shut {
		if r.cfg.Durable && r.room() <= 0 {
			r.gather()
			j.shut = true
		}
		return
	}
	for _, l := range r.lanes {
		for mark := l.recv.Mark().Frames; (l.open || l.early) && l.journaled < mark; r.moved = true {
			if r.room() <= 0 {
				return
			}
			r.journalSome(l, mark, framesBytes)
		}
	}
	j.shut = r.room() <= 0
}

// steerSnapshots begins a snapshot when the one before took so much journal that there is just room for
// that once more; the first time, or if nobody tells what room there is, at three eighths of the bound.
func (r *Replica) steerSnapshots() {
	j := &r.journal
	if !r.cfg.Durable || j.saving != nil || r.ticks < j.own.from {
		return
	}
	bound, since := r.journalBound(), int64(j.bytes-j.captured)
	first, due := j.captured == 0, bound/8*3
	if first { // at another moment on each seat, and so ever after
		due = due * int64(r.cfg.Seat+1) / int64(max(r.cfg.Seats, r.cfg.Seat+1))
	}
	again := min(max(int64(j.came), bound/8), bound/8*3)
	switch {
	case since > due && (first || j.takes == 0),
		since > bound/16 && !r.lent() && r.space() < again+again/4+bound/16,
		j.shut && r.ticks%shutTicks == 0 && r.applied > j.saved:
		r.capture(false)
	}
}

const (
	shutTicks  = 16 // between snapshots that are begun for want of room although little came since the last
	stuckTicks = 50 // without room although snapshots are durable, until frames are taken nevertheless
)

// tickRoom notes when the bound is lifted, and until when it is passed; and for how long there has been no
// room, and snapshots made none.
func (r *Replica) tickRoom() {
	j := &r.journal
	switch {
	case r.lent():
		j.over = true
	case r.space() > 0 || r.applied <= j.saved:
		j.over = false
	}
	switch {
	case !j.shut || j.trim != j.freed:
		j.stuck, j.freed = 0, j.trim
	case j.saving == nil && (r.transfer.capturing == nil || r.transfer.ready):
		j.stuck++
	}
}

// carry journals frames again that lie before the snapshot before this one: of lanes that stand still,
// because their proxies are gone, perhaps. Their old records can be trimmed then. All together they are a
// small part of the bound. What is more waits for the next snapshot but one, so that it is written again at
// every second only, and may be an eighth. More than that stays where it is, and holds the journal back, and
// beyond its bound, until the lanes go on or are closed for silence (R19): nothing that is needed is ever
// let go for want of room. While snapshots cannot be written nothing is trimmed, and
// each attempt would only write them again.
func (r *Replica) carry() {
	j := &r.journal
	if j.unsaved > 0 {
		return
	}
	left, later := r.journalBound()/32, r.journalBound()/8
	for _, l := range r.lanes {
		if !l.open && !l.early || l.journaled <= l.applied.Frames || j.turned == 0 {
			continue
		}
		switch first, n := l.firstRecord(l.applied.Frames), l.waiting(); {
		case first < j.past && n <= later:
			later -= n
		case first < j.turned && n <= left:
			left -= n
		default:
			continue
		}
		mark := l.journaled
		l.journaled, l.notes = l.applied.Frames, l.notes[:0]
		for l.journaled < mark {
			j.carried = r.journalSome(l, mark, framesBytes)
		}
		j.sync = true
	}
	j.past, j.turned = j.turned, j.next
}

// waiting is about how many bytes of the lane's frames are journaled and not applied.
func (l *laneState) waiting() int64 {
	mark, from := l.recv.Mark().Frames, l.recv.Trimmed()
	return int64(uint64(l.recv.Used()) * (l.journaled - l.applied.Frames) / max(mark-from, 1))
}
