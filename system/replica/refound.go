package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/orderers"
	"metronome/system/store"
	"metronome/system/wire"
)

// A backup is a saved snapshot kept elsewhere. A cluster that begins with one is another cluster
// (R29): another tag, so that nobody of the old one is heard; the first life on every seat (R1); the
// next epoch; indexes that the old cluster cannot have given to anything; no sessions. Proxies'
// incarnations go on counting, and all of them are closed.

// FileInfo says what a saved snapshot is of.
type FileInfo struct {
	Cluster uint32 // tag
	ID      uint64 // the life that saved it
	At      order.SnapshotMeta
	Epoch   uint64
	LogTime uint64
	Feature uint32
	Bytes   uint64 // of the whole file
	Head    int    // of these, before the store's stream

	// Read from the store's stream: [Inspect] knows them, ReadFileHead does not.
	Index    uint64
	Hash     uint64
	Keys     int
	Sessions int
}

// maxHead bounds the state beside the store that a file may claim to have.
const maxHead = 64 << 20

// fileFixed and fileSums are the parts of a file's header before and after the members.
const (
	fileFixed = 8 + 2 + 4 + 8 + 8 + 8
	fileSums  = 4 + 8 + 8 + 8
)

// ReadFileHead reads of a saved snapshot what precedes the store's stream, no byte more, and checks
// it. raw is what was read.
func ReadFileHead(from io.Reader) (info FileInfo, raw []byte, err error) {
	info, _, raw, err = readHead(from)
	return info, raw, err
}

func readHead(from io.Reader) (info FileInfo, s state, raw []byte, err error) {
	b := bytes.Buffer{}
	next := func(n int64) error {
		_, err := io.CopyN(&b, from, n)
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("replica: the snapshot ends after %d bytes: %w", b.Len(), io.ErrUnexpectedEOF)
		}
		return err
	}
	if err := next(fileFixed + 1); err != nil { // with the number of voters
		return info, s, nil, err
	}
	if err := next(8*int64(b.Bytes()[b.Len()-1]) + 1); err != nil { // and that of learners
		return info, s, nil, err
	}
	if err := next(8*int64(b.Bytes()[b.Len()-1]) + fileSums); err != nil {
		return info, s, nil, err
	}
	head, sum, err := info.decode(b.Bytes())
	if err != nil {
		return info, s, nil, err
	}
	at := b.Len()
	if err := next(int64(head)); err != nil {
		return info, s, nil, err
	}
	raw = b.Bytes()
	if xxh3.Hash(raw[at:]) != sum {
		return info, s, nil, fmt.Errorf("replica: the state in the snapshot at position %d is damaged",
			info.At.Position)
	}
	if s, err = decodeState(raw[at:]); err != nil {
		return info, s, nil, err
	}
	info.Epoch, info.LogTime, info.Feature, info.Head = s.epoch, s.time, s.feature, len(raw)
	info.Bytes += uint64(len(raw))
	return info, s, raw, nil
}

// decode reads a file's header. Bytes is that of the store's stream then.
func (i *FileInfo) decode(b []byte) (head uint32, sum uint64, err error) {
	r := wire.NewReader(b)
	magic, version := r.U64(), r.U16()
	i.Cluster, i.ID = r.U32(), r.U64()
	i.At = order.SnapshotMeta{Position: r.U64(), Term: r.U64(), Members: readMembers(&r)}
	head, i.Bytes, sum = r.U32(), r.U64(), r.U64()
	switch own := xxh3.Hash(b[:len(b)-r.Left()]); {
	case magic != fileMagic:
		err = errors.New("replica: this is no snapshot: its first bytes are others")
	case version != fileVersion:
		err = fmt.Errorf("%w: a snapshot of version %d, this build knows %d: use the build that wrote it",
			ErrForeign, version, fileVersion)
	case r.U64() != own || !r.Done():
		err = errors.New("replica: the snapshot's header is damaged")
	case head > maxHead || i.Bytes > maxSnapshot:
		err = fmt.Errorf("replica: the snapshot claims %d and %d bytes", head, i.Bytes)
	}
	return head, sum, err
}

// Inspect reads a saved snapshot to its end and decodes all of it, as a restart would. It needs
// memory for the file and for the store in it.
func Inspect(from io.Reader) (FileInfo, error) {
	info, _, _, err := load(from)
	return info, err
}

// loadPiece is how much of a stream is read at a time.
const loadPiece = 1 << 20

func load(from io.Reader) (info FileInfo, s state, st *store.Store, err error) {
	info, s, _, err = readHead(from)
	if err != nil {
		return info, s, nil, err
	}
	limits, err := decodeLimits(s.limits, 1)
	if err != nil {
		return info, s, nil, err
	}
	stream, err := readPieces(from, info.Bytes-uint64(info.Head))
	if err != nil {
		return info, s, nil, err
	}
	if st, err = store.Restore(limits, stream); err != nil {
		return info, s, nil, fmt.Errorf("replica: the snapshot at position %d: %w", info.At.Position, err)
	}
	stats := st.Stats()
	info.Index, info.Hash, info.Keys, info.Sessions = st.Index(), st.Hash(), stats.Keys, stats.Sessions
	return info, s, st, nil
}

func readPieces(from io.Reader, size uint64) (pieces [][]byte, err error) {
	for left := size; left > 0; {
		b := make([]byte, min(left, loadPiece))
		if _, err := io.ReadFull(from, b); err != nil {
			return nil, fmt.Errorf("replica: the snapshot ends %d bytes early: %w", left, err)
		}
		pieces, left = append(pieces, b), left-uint64(len(b))
	}
	if _, err := io.ReadFull(from, make([]byte, 1)); !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("replica: the snapshot goes on after its end"), err)
	}
	return pieces, nil
}

// Refounding says what a snapshot is to become the beginning of.
type Refounding struct {
	Cluster   uint32 // the new cluster's tag
	Seats     []int  // its founding members
	Consensus string // its algorithm (Config.Consensus); it need not be the old cluster's

	AcceptQuorum int // as Config.AcceptQuorum
}

// Refounded is a snapshot that a new cluster begins with, in memory.
type Refounded struct {
	From  FileInfo // what it was made of
	Epoch uint64
	Index uint64 // of the last item: the next one gets the one after

	to   Refounding
	at   order.SnapshotMeta
	head []byte
	snap *store.Snapshot
}

// epochIndexes is how many indexes of the old cluster are passed over at least: those of items that
// came after the snapshot, of which clients may still hold revisions.
const epochIndexes = 1 << 40

// Refound makes the beginning of a new cluster of a saved snapshot. The result is a function of its
// arguments alone, so that each founding member's can be made at its own place. It needs memory for
// the file and for the store in it, and then for the new file.
func Refound(from io.Reader, to Refounding) (*Refounded, error) {
	members, err := to.members()
	if err != nil {
		return nil, err
	}
	info, s, st, err := load(from)
	if err != nil {
		return nil, err
	}
	if info.Cluster == to.Cluster {
		return nil, fmt.Errorf("replica: the snapshot is of this very cluster, %08x: what is left of it would "+
			"take the "+
			"new one for its own (R29). Next: give the new cluster a name or a cluster key of its own", to.Cluster)
	}
	s.refound(to.Seats)
	if err := void(st); err != nil {
		return nil, err
	}
	f := &Refounded{From: info, Epoch: s.epoch, Index: st.Index(), to: to, at: info.At, head: s.append(nil),
		snap: st.Capture()}
	f.at.Members = members
	for !f.snap.Done() {
		f.snap.Step(loadPiece)
	}
	return f, nil
}

// members are the first lives on the seats.
func (to *Refounding) members() (m order.Members, err error) {
	for i, seat := range to.Seats {
		if seat < 0 || seat >= wire.MaxSeats || slices.Contains(to.Seats[:i], seat) {
			return m, fmt.Errorf("replica: founding seats %v: use each once, of 0 to %d", to.Seats, wire.MaxSeats-1)
		}
		m.Voters = append(m.Voters, LifeID(seat, 1))
	}
	if len(m.Voters) == 0 {
		return m, errors.New("replica: a cluster needs founding members")
	}
	return m, nil
}

// refound makes the state that of a new cluster.
func (s *state) refound(seats []int) {
	s.epoch++
	for i := range s.proxies {
		s.close(&s.proxies[i], false)
	}
	s.lives = [wire.MaxSeats]lifeRow{}
	for _, seat := range seats {
		s.lives[seat] = lifeRow{life: 1, admitted: true}
	}
}

// void ends all sessions, and lets the store's index jump: by an item that does nothing.
func void(st *store.Store) error {
	nothing, err := wire.AppendItem(nil, &wire.Item{Op: wire.OpGet, Key: []byte("epoch")})
	if err != nil {
		return err
	}
	jumped := (st.Index()/epochIndexes + 2) * epochIndexes
	if mutate.On(mutate.RestoreWithoutEpoch) {
		jumped = st.Index() + 1
	}
	st.Apply(&store.Batch{Index: jumped, Time: st.Time(), ExpireBefore: math.MaxUint64,
		Spans: []store.Span{{Payloads: [][]byte{nothing}}}})
	if n := st.Stats().Sessions; n > 0 || st.Index() != jumped {
		return fmt.Errorf("replica: %d sessions left at index %d, not %d", n, st.Index(), jumped)
	}
	return nil
}

// Owner is what the journal of a seat's replica is marked with, so that no other takes it for its
// own, nor another algorithm what it cannot read. Quorums belong to it: who asks for more acceptances asks
// for fewer promises, and these would miss what fewer acceptances decided before. Of raft nothing is said: it
// was alone once; nor of a majority, as accepts = 0 means.
func Owner(cluster uint32, seat int, consensus string, accepts int) string {
	mark := fmt.Sprintf("cluster %08x, replica-%d", cluster, seat)
	if consensus == "" || consensus == orderers.Default {
		return mark
	}
	mark += ", consensus " + consensus
	if accepts > 0 {
		mark += fmt.Sprintf(", accept_quorum %d", accepts)
	}
	return mark
}

// Begin is what a founding member's data directory has to begin with: its snapshot, and the only record
// of its journal. The snapshots of all members share memory, and may be read side by side.
func (f *Refounded) Begin(seat int) (*Save, []byte, error) {
	id := LifeID(seat, 1)
	if !slices.Contains(f.at.Members.Voters, id) {
		return nil, nil, fmt.Errorf("replica: seat %d is not among the founding seats %v", seat, f.to.Seats)
	}
	as := Replica{cfg: Config{Cluster: f.to.Cluster, Durable: true}, id: id}
	as.journalLife(id, nil) // nil: where it begins, the snapshot says
	return &Save{Position: f.at.Position, Header: as.fileHeader(&f.at, f.head, f.snap.Size()),
		Size: len(f.head) + f.snap.Size(), head: f.head, rest: f.snap.Read}, as.journal.buf, nil
}
