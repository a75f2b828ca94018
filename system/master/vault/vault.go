package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"metronome/system/backup"
)

// Options of a vault.
type Options struct {
	Now func() time.Time // the master's clock, for people and for the policy; default time.Now
}

// Vault is one edge's backups at one destination. It is safe for concurrent use.
type Vault struct {
	dest backup.Destination
	seal *Sealer
	now  func() time.Time

	write sync.Mutex // held while the backups folder changes, and over what must not change meanwhile

	same [16]sync.Mutex // by a chunk's name: one request at a time writes it

	mu      sync.Mutex // guards the index
	chunks  map[string]int64
	chains  map[uint64]*chain
	highest uint64 // number that was ever given, as far as can be seen
}

// chain is a manifest and its log.
type chain struct {
	m      *Manifest // nil if it cannot be read
	size   int64     // sealed
	pieces []piece   // sorted by first, then longest first
	reach  uint64    // last revision that can be reached without a gap
}

// Open reads what there is: names, and the manifests.
func Open(ctx context.Context, dest backup.Destination, key Key, o Options) (*Vault, error) {
	s, err := NewSealer(key)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &Vault{dest: dest, seal: s, now: o.Now}
	return v, v.Relist(ctx)
}

// Sealer is the vault's own.
func (v *Vault) Sealer() *Sealer { return v.seal }

// Relist reads anew what there is: what somebody removed at the destination is then known to be
// missing.
func (v *Vault) Relist(ctx context.Context) error {
	v.write.Lock()
	defer v.write.Unlock()
	chunks, err := v.listChunks(ctx)
	if err != nil {
		return err
	}
	chains, highest, err := v.listChains(ctx)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.chunks, v.chains, v.highest = chunks, chains, max(v.highest, highest)
	return nil
}

func (v *Vault) listChunks(ctx context.Context) (map[string]int64, error) {
	objects, err := v.dest.List(ctx, chunkFolder)
	if err != nil {
		return nil, err
	}
	chunks := make(map[string]int64, len(objects))
	for _, o := range objects {
		if IsChunk(o.Name) {
			chunks[o.Name] = o.Size
		}
	}
	return chunks, nil
}

func (v *Vault) listChains(ctx context.Context) (chains map[uint64]*chain, highest uint64, err error) {
	objects, err := v.dest.List(ctx, backupFolder)
	if err != nil {
		return nil, 0, err
	}
	chains = map[uint64]*chain{}
	var pieces []piece
	for _, o := range objects {
		if p, ok := parsePiece(o.Name, o.Size); ok {
			pieces, highest = append(pieces, p), max(highest, p.number)
		}
		number, ok := parseManifestName(o.Name)
		if !ok {
			continue
		}
		highest = max(highest, number)
		m, err := v.readManifest(ctx, number)
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
			return nil, 0, err
		}
		chains[number] = &chain{m: m, size: o.Size}
	}
	for _, p := range pieces {
		if c := chains[p.number]; c != nil {
			c.pieces = append(c.pieces, p)
		}
	}
	for _, c := range chains {
		c.settle()
	}
	return chains, highest, nil
}

// settle works out how far the log leads.
func (c *chain) settle() {
	slices.SortFunc(c.pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last))
	})
	if c.m == nil {
		return
	}
	c.reach = c.m.Revision
	for _, p := range c.pieces {
		if p.first <= c.reach+1 {
			c.reach = max(c.reach, p.last)
		}
	}
}

func (v *Vault) readManifest(ctx context.Context, number uint64) (*Manifest, error) {
	name := manifestName(number)
	b, err := v.dest.Get(ctx, backupFolder+"/"+name, ManifestKind.MaxSealed())
	if err != nil {
		return nil, damage(err)
	}
	m, err := v.seal.openManifest(name, b)
	if err == nil && m.Number != number {
		return nil, fmt.Errorf("vault: manifest %s: %w: it says number %d", name, ErrDamaged, m.Number)
	}
	return m, err
}

// damage makes a destination's idea of damage ours.
func damage(err error) error {
	if errors.Is(err, backup.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// Missing returns which of these chunks are not there.
func (v *Vault) Missing(names []string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	missing := []string{}
	for _, n := range names {
		if _, ok := v.chunks[n]; !ok && IsChunk(n) {
			missing = append(missing, n)
		}
	}
	return missing
}

// PutChunk checks a sealed chunk against its name and stores it. One that is there is not written
// again.
func (v *Vault) PutChunk(ctx context.Context, name string, sealed []byte) error {
	if !IsChunk(name) {
		return fmt.Errorf("vault: %.70q is no chunk's name: %w", name, ErrDamaged)
	}
	one := &v.same[strings.IndexByte("0123456789abcdef", name[0])]
	one.Lock()
	defer one.Unlock()
	if len(v.Missing([]string{name})) == 0 {
		return nil
	}
	plain, err := v.seal.Open(ChunkKind, name, sealed)
	if err != nil {
		return err
	}
	if v.seal.Name(plain) != name {
		return fmt.Errorf("vault: chunk %s: %w: its content has another name", name, ErrDamaged)
	}
	if err := v.dest.Put(ctx, chunkFolder+"/"+name, sealed); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.chunks[name] = int64(len(sealed))
	return nil
}

// Commit makes a backup of a sealed draft, if all of its chunks are there; else it names those that
// are not.
func (v *Vault) Commit(ctx context.Context, lease uint64, sealed []byte) (s *Summary, missing []string,
	err error) {
	m, err := v.seal.openManifest(draft, sealed)
	if err != nil {
		return nil, nil, err
	}
	v.write.Lock()
	defer v.write.Unlock()
	seen := map[string]bool{}
	m.names(func(name string) {
		if !seen[name] {
			missing = append(missing, v.Missing([]string{name})...)
		}
		seen[name] = true
	})
	if len(missing) > 0 {
		return nil, missing, nil
	}
	v.mu.Lock()
	m.Number = v.highest + 1
	v.mu.Unlock()
	m.Lease, m.Received = lease, v.now().UTC().Truncate(time.Millisecond)
	b, err := v.seal.sealManifest(m, manifestName(m.Number))
	if err == nil {
		err = v.dest.Put(ctx, backupFolder+"/"+manifestName(m.Number), b)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.highest = m.Number // a failed write may have left something under this number
	if err != nil {
		return nil, nil, err
	}
	v.chains[m.Number] = &chain{m: m, size: int64(len(b)), reach: m.Revision}
	return v.chains[m.Number].summary(m.Number), nil, nil
}

// GapError is a piece of the log that does not join what is there.
type GapError struct {
	Reach uint64 // send what follows this revision
	First uint64 // what was sent
}

// Error says so.
func (e *GapError) Error() string {
	return fmt.Sprintf("vault: the log is there up to revision %d, and what came begins at %d", e.Reach, e.First)
}

// ErrNoBackup is wrapped when there is no backup of this number, or none at all.
var ErrNoBackup = errors.New("no such backup")

// AppendLog checks a sealed piece of a chain's log and stores it. It returns how far the chain
// leads then.
func (v *Vault) AppendLog(ctx context.Context, number uint64, sealed []byte) (reach uint64, err error) {
	plain, err := v.seal.Open(LogKind, logName(number), sealed)
	if err != nil {
		return 0, err
	}
	records, err := decodeLog(plain)
	if err != nil {
		return 0, err
	}
	p := piece{number: number}
	if p.first, p.last, err = span(records); err != nil {
		return 0, err
	}
	v.write.Lock()
	defer v.write.Unlock()
	c, err := v.chain(number)
	switch {
	case err != nil:
		return 0, err
	case p.last <= c.reach: // an answer was lost, and it comes again
		return c.reach, nil
	case p.first > c.reach+1:
		return c.reach, &GapError{Reach: c.reach, First: p.first}
	}
	return v.putPiece(ctx, c, p, plain)
}

// chain finds a chain that can be read. The caller holds write.
func (v *Vault) chain(number uint64) (*chain, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.chains[number]
	if c == nil || c.m == nil {
		return nil, fmt.Errorf("vault: backup %d: %w", number, ErrNoBackup)
	}
	return c, nil
}

func (v *Vault) putPiece(ctx context.Context, c *chain, p piece, plain []byte) (reach uint64, err error) {
	b, err := v.seal.Seal(LogKind, p.name(), plain)
	if err == nil {
		err = v.dest.Put(ctx, backupFolder+"/"+p.name(), b)
	}
	if err != nil {
		return 0, err
	}
	p.size = int64(len(b))
	v.mu.Lock()
	defer v.mu.Unlock()
	c.pieces = slices.DeleteFunc(c.pieces, func(q piece) bool { return q.first == p.first && q.last == p.last })
	c.pieces = append(c.pieces, p)
	c.settle()
	return c.reach, nil
}

// Summary is what there is to see of a chain.
type Summary struct {
	Number      uint64    `json:"number"`
	Readable    bool      `json:"readable"` // false: the manifest is damaged, and the rest is unknown
	Received    time.Time `json:"received,omitzero"`
	Taken       time.Time `json:"taken,omitzero"`
	Incarnation string    `json:"incarnation,omitempty"`
	Epoch       uint16    `json:"epoch"`
	Revision    uint64    `json:"revision"` // of the checkpoint
	Reach       uint64    `json:"reach"`    // of the log: any revision between can be restored
	Keys        uint64    `json:"keys"`
	Digest      string    `json:"digest,omitempty"` // at Revision
	Lease       uint64    `json:"lease"`
	Bytes       int64     `json:"bytes"`     // of the checkpoint's files
	LogBytes    int64     `json:"log_bytes"` // stored
	LogPieces   int       `json:"log_pieces"`
	Missing     int       `json:"missing_chunks"`
}

func (c *chain) summary(number uint64) *Summary {
	s := &Summary{Number: number, LogPieces: len(c.pieces)}
	for _, p := range c.pieces {
		s.LogBytes += p.size
	}
	if m := c.m; m != nil {
		s.Readable, s.Received, s.Taken, s.Incarnation, s.Epoch = true, m.Received, m.Taken, m.Incarnation, m.Epoch
		s.Revision, s.Reach, s.Keys, s.Digest, s.Lease = m.Revision, c.reach, m.Keys, m.Digest, m.Lease
		s.Bytes = m.Size()
	}
	return s
}

// Backups are the chains there are, oldest first.
func (v *Vault) Backups() (all []Summary) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(v.chains)) {
		c := v.chains[n]
		s := c.summary(n)
		if c.m != nil {
			c.m.names(func(name string) {
				if _, ok := v.chunks[name]; !ok {
					s.Missing++
				}
			})
		}
		all = append(all, *s)
	}
	return all
}

// Newest is the newest backup that can be read, and whether there is one.
func (v *Vault) Newest() (Summary, bool) {
	all := v.Backups()
	for _, s := range slices.Backward(all) {
		if s.Readable {
			return s, true
		}
	}
	return Summary{}, false
}

// Stored is what the vault takes at its destination.
func (v *Vault) Stored() (objects int, bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, size := range v.chunks {
		bytes += size
	}
	objects = len(v.chunks) + len(v.chains)
	for _, c := range v.chains {
		bytes += c.size
		objects += len(c.pieces)
		for _, p := range c.pieces {
			bytes += p.size
		}
	}
	return objects, bytes
}

// String is where the vault is.
func (v *Vault) String() string { return strings.TrimSuffix(v.dest.String(), "/") }
