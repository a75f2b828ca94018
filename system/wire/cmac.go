package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// cmac is AES-CMAC (RFC 4493). It is here because the standard library's is internal and
// golang.org/x/crypto has none; the RFC's vectors test it.
type cmac struct {
	block  cipher.Block
	k1, k2 [16]byte
	state  [16]byte // scratch: an array on the stack would escape through the cipher.Block interface
	last   [16]byte
}

func newCMAC(key []byte) (*cmac, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make a CMAC: %w", err)
	}
	c := &cmac{block: block}
	var l [16]byte
	block.Encrypt(l[:], l[:])
	c.k1 = double(l)
	c.k2 = double(c.k1)
	return c, nil
}

// double multiplies by x in GF(2^128), RFC 4493 section 2.3.
func double(in [16]byte) (out [16]byte) {
	hi, lo := binary.BigEndian.Uint64(in[:]), binary.BigEndian.Uint64(in[8:])
	binary.BigEndian.PutUint64(out[:], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(out[8:], lo<<1^(-(hi>>63)&0x87))
	return out
}

// sum computes the MAC of b into c.state.
func (c *cmac) sum(b []byte) {
	c.state = [16]byte{}
	for len(b) > 16 {
		subtle.XORBytes(c.state[:], c.state[:], b[:16])
		c.block.Encrypt(c.state[:], c.state[:])
		b = b[16:]
	}
	c.last = [16]byte{}
	copy(c.last[:], b)
	k := &c.k1
	if len(b) < 16 {
		c.last[len(b)] = 0x80
		k = &c.k2
	}
	subtle.XORBytes(c.last[:], c.last[:], k[:])
	subtle.XORBytes(c.state[:], c.state[:], c.last[:])
	c.block.Encrypt(c.state[:], c.state[:])
}

// sum64 is the MAC's first 64 bits (RFC 4493 section 2.4 allows truncation from the left).
func (c *cmac) sum64(b []byte) uint64 {
	c.sum(b)
	return binary.LittleEndian.Uint64(c.state[:])
}
