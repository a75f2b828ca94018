//go:build amd64 || arm64

package prefetch

// Word asks for the cache line of *p. It never faults.
//
//go:noescape
func Word(p *uint64)

// Lines asks for the cache line of *p and the one after it, wherever that leads. It never faults.
//
//go:noescape
func Lines(p *byte)
