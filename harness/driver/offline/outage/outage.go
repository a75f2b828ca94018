// Package outage is what a device writes while it cannot reach its edge: readings of a number of sensors, in
// an order that a seed decides. The device's process makes them, and the driver knows them without asking.
//
// It is no scenario of a home (package system/home has one): sensors are equal and as frequent, so that
// what skipping saves has one reason.
package outage

import (
	"fmt"
	"iter"
	"strconv"
)

// Prefix is what all keys begin with.
const Prefix = "home/"

// deletes is how many operations there are for each delete among them.
const deletes = 50

// Spec says what is written. The same Spec is the same operations.
type Spec struct {
	Seed    uint64
	Count   int // operations
	Sensors int // keys
	Value   int // bytes of a value, at least 10
}

// Op is the operation of a number, from 0.
type Op struct {
	Number int
	Key    string
	Value  []byte
	Delete bool
}

// At returns one operation: a put of its number, padded, on a random sensor's key; or now and then a delete.
func (s *Spec) At(number int) Op {
	r := mix(s.Seed ^ mix(uint64(number)))
	op := Op{Number: number, Key: fmt.Sprintf("%ssensor-%06d", Prefix, r%uint64(s.Sensors))}
	if op.Delete = r>>32%deletes == 0; !op.Delete {
		op.Value = fmt.Appendf(make([]byte, 0, s.Value), "%010d", number)
		for len(op.Value) < s.Value {
			op.Value = append(op.Value, '.')
		}
	}
	return op
}

// All are all operations in order.
func (s *Spec) All() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		for i := range s.Count {
			if !yield(s.At(i)) {
				return
			}
		}
	}
}

// NumberOf is the number in a value, -1 if there is none.
func NumberOf(value []byte) int {
	if len(value) < 10 {
		return -1
	}
	n, err := strconv.Atoi(string(value[:10]))
	if err != nil {
		return -1
	}
	return n
}

// mix is the output function of splitmix64 (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
