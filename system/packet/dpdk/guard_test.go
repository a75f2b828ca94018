//go:build dpdk

package dpdk

import (
	"runtime"
	"testing"
)

// Go's own faults stay what they are: a panic that can be caught.
func TestFaultsOfGoArePanics(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Null{}.Vdev())
		attach(t)
		for range 3 {
			func() {
				defer func() {
					if _, ok := recover().(runtime.Error); !ok {
						t.Error("no panic")
					}
				}()
				var p *int
				*p = 1
			}()
		}
		p := open(t, Config{Device: Null{}.Name(), Null: true}).Port(0)
		if n, err := p.Recv(make([][]byte, 8)); n != 8 || err != nil {
			t.Error(n, err)
		}
	})
}
