package cluster

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"metronome/system/access/secretfile"
	"metronome/system/wire"
)

// Ring is what the cluster key's file holds: the keys of frames, and what stays of the key that the cluster
// was founded with when that is gone. It is not changed once it is in use.
//
// The file is one key in hexadecimal, as pki init writes it, or, from the first rotation on, lines of words:
//
//	metronome keys 1
//	cluster 811f5b5d 0123456789abcdef
//	key 0 retired 5a…
//	key 1 active 07…
//
// The second line has the cluster's tag and the seed of its chain digests.
type Ring struct {
	Tag  uint32 // in every frame and handshake
	Keys wire.Keys
}

const (
	ringHead = "metronome keys 1"
	maxKeys  = wire.KeyPlaces // in one file
)

// Ring reads the key file.
func (c *Config) Ring() (*Ring, error) {
	path := c.Path(c.Secrets.ClusterKeyFile)
	b, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("cluster key: %w", err)
	}
	r, err := ParseRing(c.Name, b)
	if err != nil {
		return nil, fmt.Errorf("cluster key: %s %w: copy it again from a machine that has it, or, if there was no "+
			"cluster yet, move it away and run metronome pki init", path, err)
	}
	return r, nil
}

// ParseRing reads the content of a key file of the named cluster. Its errors quote nothing of it.
func ParseRing(name string, b []byte) (*Ring, error) {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if lines[0] != ringHead {
		return parseOneKey(name, lines[0], len(lines))
	}
	r := &Ring{}
	seen := false
	for i, line := range lines[1:] {
		f := strings.Fields(line)
		var err error
		switch {
		case len(f) == 0:
		case f[0] == "cluster" && len(f) == 3 && !seen:
			seen, err = true, r.readCluster(f[1], f[2])
		case f[0] == "key" && len(f) == 4 && len(r.Keys.List) < maxKeys:
			err = r.readKey(f[1], f[2], f[3])
		default:
			err = errors.New("is none of \"cluster TAG SEED\", once, and \"key NUMBER STATE SECRET\"")
		}
		if err != nil {
			return nil, fmt.Errorf("is damaged: its line %d %w", i+2, err)
		}
	}
	if !seen {
		return nil, errors.New("is damaged: it lacks the line \"cluster TAG SEED\"")
	}
	if err := r.Keys.Validate(); err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	return r, nil
}

func parseOneKey(name, line string, lines int) (*Ring, error) {
	key, err := hex.DecodeString(line)
	if err != nil || len(key) != keyBytes || lines > 1 {
		return nil, fmt.Errorf("must hold %d bytes in hexadecimal, or begin with %q", keyBytes, ringHead)
	}
	keys, err := wire.OneKey(key)
	if err != nil {
		return nil, err
	}
	return &Ring{Tag: Tag(name, key), Keys: *keys}, nil
}

func (r *Ring) readCluster(tag, seed string) error {
	t, err := strconv.ParseUint(tag, 16, 32)
	s, err2 := strconv.ParseUint(seed, 16, 64)
	if err != nil || err2 != nil {
		return errors.New("names no tag and seed in hexadecimal")
	}
	r.Tag, r.Keys.Chain = uint32(t), s
	return nil
}

func (r *Ring) readKey(number, state, secret string) error {
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return errors.New("has no key's number")
	}
	s, err := wire.ParseKeyState(state)
	if err != nil {
		return errors.New("has none of the states accepted, active and retired")
	}
	key, err := hex.DecodeString(secret)
	if err != nil || len(key) != keyBytes {
		return fmt.Errorf("has no key of %d bytes in hexadecimal", keyBytes)
	}
	r.Keys.List = append(r.Keys.List, wire.Key{Number: uint32(n), State: s, Secret: key})
	return nil
}

// encode is the file's content.
func (r *Ring) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\ncluster %08x %016x\n", ringHead, r.Tag, r.Keys.Chain)
	for i := range r.Keys.List {
		k := &r.Keys.List[i]
		fmt.Fprintf(&b, "key %d %s %s\n", k.Number, k.State, hex.EncodeToString(k.Secret))
	}
	return b.Bytes()
}

// Tag is the tag of a cluster that is founded with a key. It follows from name and key, so clusters that
// share a network by accident ignore each other.
func Tag(name string, key []byte) uint32 {
	b, err := hkdf.Key(sha256.New, key, nil, "metronome cluster tag v1 "+name, 4)
	if err != nil {
		return 0 // only for keys and lengths that cannot occur
	}
	return binary.LittleEndian.Uint32(b)
}

// Active is the key that seals.
func (r *Ring) Active() *wire.Key {
	for i := range r.Keys.List {
		if r.Keys.List[i].State == wire.KeyActive {
			return &r.Keys.List[i]
		}
	}
	return nil // no ring that was read
}

// At is the key on a place (wire.KeyPlaces), or nil.
func (r *Ring) At(place int) *wire.Key {
	for i := range r.Keys.List {
		if int(r.Keys.List[i].Number%wire.KeyPlaces) == place {
			return &r.Keys.List[i]
		}
	}
	return nil
}

// Newest is the key with the highest number.
func (r *Ring) Newest() *wire.Key {
	newest := r.Active()
	for i := range r.Keys.List {
		if k := &r.Keys.List[i]; k.Number > newest.Number {
			newest = k
		}
	}
	return newest
}

// A rotation has three steps, and each is to reach every process before the next: Add, Activate, Retire. Drop
// cleans up. Between them, whoever knows the step before understands whoever knows the one after.

// Add adds a key that is accepted and not used yet.
func (r *Ring) Add() error {
	newest := r.Newest()
	if newest.State != wire.KeyActive {
		return fmt.Errorf("key %d is not active yet: activate it first", newest.Number)
	}
	key := wire.Key{Number: newest.Number + 1, Secret: make([]byte, keyBytes)}
	_, _ = rand.Read(key.Secret) // never fails: crypto/rand ends the process instead
	if old := r.At(int(key.Number % wire.KeyPlaces)); old != nil {
		return fmt.Errorf("key %d would have the place of key %d: retire and drop old keys first", key.Number,
			old.Number)
	}
	r.Keys.List = append(r.Keys.List, key)
	return nil
}

// Activate makes the newest key the one that seals; the one before stays accepted.
func (r *Ring) Activate() error {
	newest := r.Newest()
	if newest.State == wire.KeyActive {
		return fmt.Errorf("key %d is active, and there is no newer one: add one first", newest.Number)
	}
	r.Active().State = wire.KeyAccepted
	newest.State = wire.KeyActive
	return nil
}

// Retire ends that older keys than the active one are accepted.
func (r *Ring) Retire() error {
	active, n := r.Active(), 0
	for i := range r.Keys.List {
		if k := &r.Keys.List[i]; k.Number < active.Number && k.State == wire.KeyAccepted {
			k.State = wire.KeyRetired
			n++
		}
	}
	if n == 0 {
		return errors.New("no key is older than the active one and accepted: add and activate a new one first")
	}
	return nil
}

// Drop forgets retired keys, and says which.
func (r *Ring) Drop() (dropped []wire.Key, err error) {
	var kept []wire.Key
	for _, k := range r.Keys.List {
		if k.State == wire.KeyRetired {
			dropped = append(dropped, k)
		} else {
			kept = append(kept, k)
		}
	}
	if len(dropped) == 0 {
		return nil, errors.New("no key is retired: retire one first")
	}
	r.Keys.List = kept
	return dropped, nil
}

// ChangeRing reads the key file, has it changed, and writes it whole, with mode 0600, unless change fails.
func (c *Config) ChangeRing(change func(*Ring) error) (*Ring, error) {
	path := c.Path(c.Secrets.ClusterKeyFile)
	unlock, err := secretfile.Lock(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := c.Ring()
	if err != nil {
		return nil, err
	}
	if err := change(r); err != nil {
		return nil, err
	}
	return r, secretfile.Write(path, r.encode())
}
