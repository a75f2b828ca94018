package stats

import "math"

// Censor says how much of a value was seen.
type Censor uint8

// The kinds of censoring.
const (
	None       Censor = iota // the value itself
	LowerBound               // the value is at least that
	UpperBound               // the value is at most that
	Unseen                   // nothing useful is known
)

// String returns the word that CSV files use: none, lower, upper or unknown.
func (c Censor) String() string {
	switch c {
	case None:
		return "none"
	case LowerBound:
		return "lower"
	case UpperBound:
		return "upper"
	}
	return "unknown"
}

// Value is a quantity of at least zero known to lie in [Lo, Hi]. Seen exactly, Lo equals Hi; an end
// that was not seen is 0 or +Inf.
type Value struct {
	Lo, Hi float64
}

// Exactly returns a value that was seen.
func Exactly(x float64) Value { return Value{x, x} }

// AtLeast returns a value of which only a lower bound was seen.
func AtLeast(x float64) Value { return Value{x, math.Inf(1)} }

// AtMost returns a value of which only an upper bound was seen.
func AtMost(x float64) Value { return Value{0, x} }

// Censor returns how much of v was seen. A span with two ends counts as its lower bound.
func (v Value) Censor() Censor {
	switch {
	case v.Lo == v.Hi:
		return None
	case v.Lo > 0:
		return LowerBound
	case !math.IsInf(v.Hi, 1) && !math.IsNaN(v.Hi):
		return UpperBound
	}
	return Unseen
}

// Point returns the number to print for v: the value or its only bound. It is missing (NaN) if v is
// [Unseen].
func (v Value) Point() float64 {
	switch v.Censor() {
	case None, LowerBound:
		return v.Lo
	case UpperBound:
		return v.Hi
	}
	return math.NaN()
}

// Times returns v scaled by a factor above zero.
func (v Value) Times(factor float64) Value { return Value{v.Lo * factor, v.Hi * factor} }

// Over returns the ratio v / w: a lower bound above or an upper bound below makes it a lower bound,
// and so on. Bounds on the same side of both leave nothing.
func (v Value) Over(w Value) Value {
	return Value{divide(v.Lo, w.Hi, 0), divide(v.Hi, w.Lo, math.Inf(1))}
}

// divide returns a / b, or otherwise where that has no value.
func divide(a, b, otherwise float64) float64 {
	if q := a / b; !math.IsNaN(q) {
		return q
	}
	return otherwise
}
