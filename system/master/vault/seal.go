package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Sealer seals and opens what belongs to one edge. It is safe for concurrent use.
type Sealer struct {
	id    []byte
	aead  cipher.AEAD
	names sync.Pool // of hash.Hash
	enc   *zstd.Encoder
	dec   *zstd.Decoder
}

// Kind is what a sealed object is. It is part of the seal.
type Kind byte

// Kinds.
const (
	ChunkKind    Kind = 'c'
	ManifestKind Kind = 'm'
	LogKind      Kind = 'l'
)

// Bounds of what is sealed, in plain bytes.
const (
	MaxChunk    = 4 << 20
	MaxLog      = 8 << 20
	MaxManifest = 64 << 20
	overhead    = sealHead + nonceSize + tagSize
)

func (k Kind) limit() int {
	switch k {
	case ChunkKind:
		return MaxChunk
	case LogKind:
		return MaxLog
	}
	return MaxManifest
}

// MaxSealed is how many bytes a sealed object of a kind may have.
func (k Kind) MaxSealed() int { return k.limit() + overhead }

// A sealed object: "MTB1", key id 4, kind 1, flags 1, plain length 4; nonce 12; ciphertext and tag
// 16.
const (
	sealMagic  = "MTB1"
	sealHead   = 14
	nonceSize  = 12
	tagSize    = 16
	compressed = 1 // flag
)

var (
	// ErrDamaged is wrapped when what was read is not what was sealed.
	ErrDamaged = errors.New("damaged")
	// ErrForeign is wrapped when something was sealed with another key.
	ErrForeign = errors.New("sealed with another key")
)

// NewSealer makes a sealer of a key.
func NewSealer(k Key) (*Sealer, error) {
	block, err := aes.NewCipher(k.derive("seal", 32))
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	s := &Sealer{id: k.derive("id", 4)}
	if s.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	nameKey := k.derive("name", 32)
	s.names.New = func() any { return hmac.New(sha256.New, nameKey) }
	if s.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(2)); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(MaxManifest))
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return s, nil
}

// Name is what a chunk of this content is called.
func (s *Sealer) Name(content []byte) string {
	h := s.names.Get().(hash.Hash)
	defer s.names.Put(h)
	h.Reset()
	_, _ = h.Write(content)
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0]))
}

// Seal makes an object of plain bytes, for a name.
func (s *Sealer) Seal(kind Kind, name string, plain []byte) ([]byte, error) {
	if len(plain) > kind.limit() {
		return nil, fmt.Errorf("vault: %d bytes of kind %c, at most %d", len(plain), kind, kind.limit())
	}
	head := append(append(make([]byte, 0, sealHead), sealMagic...), s.id...)
	head = append(head, byte(kind), 0)
	head = binary.BigEndian.AppendUint32(head, uint32(len(plain)))
	body := s.enc.EncodeAll(plain, make([]byte, 0, len(plain)/2+64))
	if head[9] = compressed; len(body) >= len(plain) {
		body, head[9] = plain, 0
	}
	out := append(make([]byte, 0, len(body)+overhead), head...)
	return s.aead.Seal(out, nil, body, sealedWith(head, name)), nil
}

// sealedWith is what the seal covers beside the content.
func sealedWith(head []byte, name string) []byte {
	return append(append(make([]byte, 0, len(head)+len(name)), head...), name...)
}

// Open returns the plain bytes of an object. The error wraps [ErrDamaged] or [ErrForeign].
func (s *Sealer) Open(kind Kind, name string, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead || string(sealed[:4]) != sealMagic || Kind(sealed[8]) != kind {
		return nil, fmt.Errorf("vault: %s: %w: it is not a sealed %c", name, ErrDamaged, kind)
	}
	if string(sealed[4:8]) != string(s.id) {
		return nil, fmt.Errorf("vault: %s: %w %x; this one is %x", name, ErrForeign, sealed[4:8], s.id)
	}
	size := int(binary.BigEndian.Uint32(sealed[10:]))
	if size > kind.limit() {
		return nil, fmt.Errorf("vault: %s: %w: it claims %d bytes", name, ErrDamaged, size)
	}
	plain, err := s.aead.Open(nil, nil, sealed[sealHead:], sealedWith(sealed[:sealHead], name))
	if err == nil && sealed[9]&compressed != 0 {
		plain, err = s.dec.DecodeAll(plain, make([]byte, 0, size))
	}
	if err != nil || len(plain) != size {
		return nil, fmt.Errorf("vault: %s: %w: the seal does not hold", name, ErrDamaged)
	}
	return plain, nil
}
