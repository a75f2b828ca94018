package keep

import "slices"

// Ages says of what nobody wants how long that has been seen, in nanoseconds of running time.
type Ages map[string]int64

// Step is one look at what nobody wants now, elapsed after the look before. It returns the ages to
// remember and what may be removed: what every look for a grace time has found unwanted. What is
// removed is remembered too, until a look no longer finds it: removing may fail.
func (a Ages) Step(unwanted []string, elapsed, grace int64) (next Ages, remove []string) {
	next = make(Ages, len(unwanted))
	for _, name := range unwanted {
		age, known := a[name]
		if known {
			age += max(0, elapsed)
		}
		next[name] = age
		if known && age >= grace {
			remove = append(remove, name)
		}
	}
	slices.Sort(remove)
	return next, remove
}
