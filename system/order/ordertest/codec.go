package ordertest

import (
	"errors"
	"reflect"
	"testing"

	"metronome/system/order"
)

// Codec is an algorithm's messages and their bytes; M is its type of them.
type Codec[M any] struct {
	Samples  []M          // of every kind
	Bad      map[string]M // what nobody sends, by what is wrong with it
	Numbers  []byte       // what the samples begin with on the wire, whatever becomes of the code; or nil
	Encode   func(m *M) []byte
	Decode   func(b []byte) (M, error)
	Describe func(b []byte) string
	Said     func(b []byte) order.Said
	// Says is what a message tells of stable storage: what a restart must not forget, and nothing else.
	Says func(m M) order.Said
	// Grows: a byte more may make another message of it; nil: of none.
	Grows func(m M) bool
}

// Run has messages encoded and decoded, and what nobody sends refused.
func (c Codec[M]) Run(t *testing.T) {
	for i := range c.Samples {
		m := c.Samples[i]
		b := c.Encode(&m)
		what := c.Describe(b)
		if c.Numbers != nil && b[0] != c.Numbers[i] {
			t.Errorf("%s is number %d, not %d", what, b[0], c.Numbers[i])
		}
		if got, err := c.Decode(b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		_, err := c.Decode(append(b, 1))
		if !errors.Is(err, order.ErrMalformed) && (c.Grows == nil || !c.Grows(m)) {
			t.Errorf("%s with a byte too many: %v", what, err)
		}
		if got := c.Said(b); got != c.Says(m) {
			t.Errorf("%s says %+v", what, got)
		}
	}
	for name, m := range c.Bad {
		if _, err := c.Decode(c.Encode(&m)); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Fuzz decodes bytes that anybody may send: what is a message is the same one when it is encoded again.
func (c Codec[M]) Fuzz(f *testing.F) {
	for i := range c.Samples {
		f.Add(c.Encode(&c.Samples[i]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := c.Decode(b)
		if err != nil {
			return
		}
		_, _ = c.Describe(b), c.Said(b)
		if again, err := c.Decode(c.Encode(&m)); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%x: %+v and %+v, %v", b, m, again, err)
		}
	})
}
