package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Behind the encrypted items of a data frame: the tag of AES-256-GCM, then the sender's salt.
const (
	tagSize  = 16
	saltSize = 8
	tailSize = tagSize + saltSize
)

// Overhead is how many bytes of a data frame's payload are no items.
func (m Mode) Overhead() int {
	if m == ModeAEAD {
		return tailSize
	}
	return 0
}

// fixedSize is the part of a header that a repair does not change, but for one flag.
const fixedSize = 40

// aeadLives bounds the keys that are remembered. A key more than that is derived again, frame by frame: only
// frames whose header is authentic come that far.
const aeadLives = 64

// sealer encrypts and decrypts the items of data frames, and keeps scratch space.
type sealer struct {
	secret []byte // of which each life's key is derived
	lives  []lifeKey
	next   int // the place of lives that is given up next
	last   int // the place that was used last

	nonce [12]byte
	fixed [fixedSize]byte
	plain [MaxFrame]byte
}

// lifeKey is the key of one life of a sender.
type lifeKey struct {
	cluster, proxy, incarnation uint32
	salt                        uint64
	gcm                         cipher.AEAD
}

func newSealer(clusterKey []byte) (*sealer, error) {
	secret, err := hkdf.Extract(sha256.New, clusterKey, nil)
	if err != nil {
		return nil, fmt.Errorf("derive the key of items: %w", err)
	}
	return &sealer{secret: secret}, nil
}

// of finds or derives the key of the life that a frame is of.
func (s *sealer) of(frame []byte) (cipher.AEAD, error) {
	k := lifeKey{
		cluster:     binary.LittleEndian.Uint32(frame[8:]),
		proxy:       binary.LittleEndian.Uint32(frame[12:]),
		incarnation: binary.LittleEndian.Uint32(frame[16:]),
		salt:        binary.LittleEndian.Uint64(frame[len(frame)-saltSize:]),
	}
	if s.last < len(s.lives) && s.lives[s.last].is(&k) {
		return s.lives[s.last].gcm, nil
	}
	for i := range s.lives {
		if s.lives[i].is(&k) {
			s.last = i
			return s.lives[i].gcm, nil
		}
	}
	if err := k.derive(s.secret); err != nil {
		return nil, err
	}
	if len(s.lives) < aeadLives {
		s.lives = append(s.lives, k)
		s.last = len(s.lives) - 1
		return k.gcm, nil
	}
	s.lives[s.next], s.last, s.next = k, s.next, (s.next+1)%aeadLives
	return k.gcm, nil
}

func (k *lifeKey) is(other *lifeKey) bool {
	return k.incarnation == other.incarnation && k.proxy == other.proxy && k.salt == other.salt &&
		k.cluster == other.cluster
}

// derive computes the life's key, HKDF-SHA-256 with the life as its info.
func (k *lifeKey) derive(secret []byte) error {
	info := []byte("metronome frame aead v1")
	info = binary.LittleEndian.AppendUint32(info, k.cluster)
	info = binary.LittleEndian.AppendUint32(info, k.proxy)
	info = binary.LittleEndian.AppendUint32(info, k.incarnation)
	info = binary.LittleEndian.AppendUint64(info, k.salt)
	key, err := hkdf.Expand(sha256.New, secret, string(info), 32)
	if err != nil {
		return fmt.Errorf("derive the key of a life's items: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("make AES: %w", err)
	}
	k.gcm, err = cipher.NewGCM(block)
	return err
}

// prepare sets nonce and additional data of a frame. The nonce is lane and frame number: no other frame of
// this life has it, and whatever is sealed under it again has the same items, because the header's fixed part
// is the same. What a repair changes (its flag, the marks) is left to the header's digest.
func (s *sealer) prepare(frame []byte) {
	copy(s.nonce[0:2], frame[6:8])
	copy(s.nonce[4:12], frame[24:32])
	copy(s.fixed[:], frame[:fixedSize])
	s.fixed[5] &^= FlagRepair
}

// seal encrypts the items of a frame in place and completes its tail; all of the header's fixed part stands.
func (s *sealer) seal(frame []byte) error {
	gcm, err := s.of(frame)
	if err != nil {
		return err
	}
	s.prepare(frame)
	gcm.Seal(frame[HeaderSize:HeaderSize], s.nonce[:], frame[HeaderSize:len(frame)-tailSize], s.fixed[:])
	return nil
}

// open decrypts the items of a frame into scratch space and returns the opened frame; nil if it is forged.
func (s *sealer) open(frame []byte) []byte {
	if len(frame) < HeaderSize+tailSize {
		return nil
	}
	gcm, err := s.of(frame)
	if err != nil {
		return nil
	}
	s.prepare(frame)
	end := len(frame) - saltSize
	items := s.plain[HeaderSize:HeaderSize]
	if _, err := gcm.Open(items, s.nonce[:], frame[HeaderSize:end], s.fixed[:]); err != nil {
		return nil
	}
	copy(s.plain[:], frame[:HeaderSize])
	copy(s.plain[end-tagSize:], frame[end-tagSize:])
	return s.plain[:len(frame)]
}

// SetSalt sets what keeps a sender's keys apart from those of all its lives before, even in a cluster that
// was founded anew under its old key and counts incarnations from the beginning: a random number, another
// one for every incarnation. Only mode aead uses it, and only to seal.
func (d *Digester) SetSalt(salt uint64) {
	d.salt = salt
}

// Items is what a data frame carries: of a frame as [Opener.Opened] returned it in mode aead, of any frame in
// other modes.
func Items(frame []byte) []byte {
	return frame[HeaderSize : len(frame)-Mode(frame[4]&modeBits).Overhead()]
}

// Unsealed is the items of a sealed data frame: in mode aead a copy, or nil if the frame is forged. It is for
// the rare look at what was sent.
func (d *Digester) Unsealed(frame []byte) []byte {
	if d.mode != ModeAEAD {
		return Items(frame)
	}
	opened := d.keyOf(frame).sealer.open(frame)
	if opened == nil {
		return nil
	}
	return append([]byte(nil), Items(opened)...)
}

// Reseal encrypts an opened data frame in place, to the bytes that were opened but for what [Restamp] changed
// since. It does nothing in modes other than aead.
func (d *Digester) Reseal(frame []byte) {
	if d.mode != ModeAEAD {
		return
	}
	if err := d.keyOf(frame).sealer.seal(frame); err != nil {
		panic("wire: a frame that was opened cannot be sealed: " + err.Error())
	}
}
