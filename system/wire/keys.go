package wire

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/zeebo/xxh3"
)

// KeyPlaces is how many keys a header can tell apart: it holds a key's number modulo this, in the high half
// of the byte of the mode. Key 0 leaves a frame as it was before keys had numbers.
const KeyPlaces = 16

const (
	keyShift = 4
	modeBits = 1<<keyShift - 1
)

// KeyState is what a key is good for.
type KeyState uint8

// The states, in the order in which a key goes through them.
const (
	KeyAccepted KeyState = iota // opens frames, seals none: it is being distributed, or on its way out
	KeyActive                   // seals, too: one key of a ring
	KeyRetired                  // opens what was kept (journals, peers' repairs), and nothing off a network
)

var keyStates = []string{"accepted", "active", "retired"}

// String is the state's name in key files and metrics.
func (s KeyState) String() string {
	if int(s) < len(keyStates) {
		return keyStates[s]
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// ParseKeyState reads a state's name.
func ParseKeyState(s string) (KeyState, error) {
	for i, name := range keyStates {
		if s == name {
			return KeyState(i), nil
		}
	}
	return 0, fmt.Errorf("unknown state of a key %q: use accepted, active or retired", s)
}

// Key is one key of a ring.
type Key struct {
	Number uint32
	State  KeyState
	Secret []byte
}

// Check tells keys apart without telling them: a hash of the secret, for logs, metrics and comparisons.
func (k *Key) Check() uint32 {
	b, err := hkdf.Key(sha256.New, k.Secret, nil, "metronome key check v1", 4)
	if err != nil {
		return 0 // only for lengths that cannot occur
	}
	return binary.LittleEndian.Uint32(b)
}

// KeyCounts count frames that were refused for their key ([BadKey]), by the place that their headers name.
type KeyCounts [KeyPlaces]uint64

// Note counts a frame in that was refused for its key, and no other.
func (n *KeyCounts) Note(cause Cause, frame []byte) {
	if cause == BadKey {
		n[frame[4]>>keyShift]++
	}
}

// Add counts in what others counted.
func (n *KeyCounts) Add(other *KeyCounts) {
	for i := range n {
		n[i] += other[i]
	}
}

// Keys are a cluster's keys, one of them active, no two on one place.
type Keys struct {
	Chain uint64 // seeds the chain digests, for the cluster's whole life (ChainSeed)
	List  []Key
}

// OneKey is the ring of a cluster that was founded with a key and has no other yet.
func OneKey(clusterKey []byte) (*Keys, error) {
	chain, err := ChainSeed(clusterKey)
	return &Keys{Chain: chain, List: []Key{{Number: 0, State: KeyActive, Secret: clusterKey}}}, err
}

// ChainSeed is the seed of a cluster's chain digests, of the key that it was founded with. Chains are
// compared between replicas and kept in snapshots, so that they cannot follow the keys.
func ChainSeed(clusterKey []byte) (uint64, error) {
	okm, err := material(clusterKey)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(okm[16:]), nil
}

func material(secret []byte) ([]byte, error) {
	okm, err := hkdf.Key(sha256.New, secret, nil, "metronome frame digest v1", 56)
	if err != nil {
		return nil, fmt.Errorf("derive digest keys: %w", err)
	}
	return okm, nil
}

// Validate says why a digester cannot use the keys, or nil.
func (k *Keys) Validate() error {
	var places [KeyPlaces]*Key
	active := 0
	for i := range k.List {
		key := &k.List[i]
		place := &places[key.Number%KeyPlaces]
		switch {
		case *place != nil:
			return fmt.Errorf("keys %d and %d have one place: numbers must differ modulo %d: drop the older one",
				(*place).Number, key.Number, KeyPlaces)
		case key.State > KeyRetired:
			return fmt.Errorf("key %d has %v", key.Number, key.State)
		case key.State == KeyActive:
			active++
		}
		*place = key
	}
	if active != 1 {
		return fmt.Errorf("%d keys are active: exactly one must be", active)
	}
	return nil
}

// keyed is a key with everything that is derived of it, and scratch space.
type keyed struct {
	number      uint32
	state       KeyState
	secret      []byte
	headerSeed  uint64
	headerKey   [8]uint64 // XXH3's secret with the header's seed worked in
	payloadSeed uint64
	header      *cmac // modes mac and aead
	payload     *cmac
	sealer      *sealer // mode aead
}

func newKeyed(mode Mode, key *Key) (*keyed, error) {
	okm, err := material(key.Secret)
	if err != nil {
		return nil, err
	}
	k := &keyed{
		number: key.Number, state: key.State, secret: bytes.Clone(key.Secret),
		headerSeed:  binary.LittleEndian.Uint64(okm[0:]),
		payloadSeed: binary.LittleEndian.Uint64(okm[8:]),
	}
	k.headerKey = seeded(k.headerSeed)
	if k.header, err = newCMAC(okm[24:40]); err != nil {
		return nil, err
	}
	if k.payload, err = newCMAC(okm[40:56]); err != nil || mode != ModeAEAD {
		return k, err
	}
	k.sealer, err = newSealer(key.Secret)
	return k, err
}

// SetKeys replaces the keys. What was sealed under the old ones stays readable to their owner: a key that is
// not among them counts as retired for as long as this Digester lives, because frames are held that only it
// can seal again. So a key whose place another one has had here is refused, and nothing is changed.
func (d *Digester) SetKeys(keys *Keys) error {
	if err := keys.Validate(); err != nil {
		return err
	}
	if keys.Chain != d.chainSeed {
		return fmt.Errorf("these keys are another cluster's: their chain seed differs")
	}
	next := d.keys
	for i := range keys.List {
		key := &keys.List[i]
		place := &next[key.Number%KeyPlaces]
		if old := *place; old != nil && (old.number != key.Number || !bytes.Equal(old.secret, key.Secret)) {
			return fmt.Errorf("key %d has the place of key %d, which this process has used: restart it, "+
				"and the others one after another", key.Number, old.number)
		} else if old != nil {
			continue
		}
		k, err := newKeyed(d.mode, key)
		if err != nil {
			return err
		}
		*place = k
	}
	d.keys = next
	d.sort(keys)
	return nil
}

// sort sets the keys' states.
func (d *Digester) sort(keys *Keys) {
	for _, k := range d.keys {
		if k != nil {
			k.state = KeyRetired
		}
	}
	for i := range keys.List {
		k := d.keys[keys.List[i].Number%KeyPlaces]
		if k.state = keys.List[i].State; k.state == KeyActive {
			d.active = k
		}
	}
}

// KeyPlace is the place of the key that a frame's header names.
func KeyPlace(frame []byte) int { return int(frame[4] >> keyShift) }

// keyOf is the key whose place a frame's header names: that of a frame which was opened or sealed here.
func (d *Digester) keyOf(frame []byte) *keyed {
	if k := d.keys[frame[4]>>keyShift]; k != nil {
		return k
	}
	return d.active
}

// Knows reports whether a frame's header was sealed under one of the keys, whatever their states.
func (d *Digester) Knows(frame []byte) bool {
	k := d.keys[frame[4]>>keyShift]
	return k != nil && binary.LittleEndian.Uint64(frame[DigestOffset:]) == k.ofHeader(d.mode, frame)
}

func (k *keyed) ofHeader(mode Mode, frame []byte) uint64 {
	b := frame[:DigestOffset]
	switch mode {
	case ModeXXH3:
		return xxh3of64(b, &k.headerKey)
	case ModeCRC32C:
		return uint64(crc32.Update(uint32(k.headerSeed), castagnoli, b))
	case ModeMAC, ModeAEAD:
		return k.header.sum64(b)
	default:
		return 0
	}
}

func (k *keyed) ofPayload(mode Mode, items []byte) uint64 {
	switch mode {
	case ModeXXH3:
		// Seeding XXH3 of more than 240 bytes prepares a secret each time; the seeded header digest
		// covers this hash anyway.
		return xxh3.Hash(items) ^ k.payloadSeed
	case ModeCRC32C:
		return uint64(crc32.Update(uint32(k.payloadSeed), castagnoli, items))
	case ModeMAC, ModeAEAD:
		return k.payload.sum64(items)
	default:
		return 0
	}
}
