package proxy_test

import (
	"bytes"
	"testing"

	"metronome/system/node"
	"metronome/system/proxy"
	"metronome/system/wire"
)

// Goal: no key and nonce of mode aead serve twice, even if one process has the same incarnation twice: a
// cluster founded anew under its old key counts from the beginning. Method: the same proxy is given
// incarnation 1, is closed for silence, and is given 1 again; were both first frames under one key and
// nonce, they would differ exactly where their values do.
func TestOneIncarnationTwiceIsNotOneKey(t *testing.T) {
	d, err := wire.NewDigester(wire.ModeAEAD, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(proxy.Config{Cluster: 7, Number: 1, Nonce: 99, Seats: 3, Digest: d,
		Complete: func(uint64, *wire.Result) {}})
	if err != nil {
		t.Fatal(err)
	}
	now := int64(1e9)
	first := func(nonce uint64, value string) []byte {
		m := wire.Opened{Nonce: nonce, Incarnation: 1, Lanes: 1, Leader: 1, Seats: 7}
		p.Message(now, wire.ReplicaPeer(0), m.Append(nil))
		it := wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: []byte(value)}
		if s := p.Submit(now, 0, &it, 1); s != wire.StatusOK {
			t.Fatalf("put: status %d", s)
		}
		for range 10 {
			now += 1e6
			p.Tick(now)
			var out node.Output
			p.Output(&out)
			for _, f := range out.Multicast {
				var h wire.Header
				if h.Get(f); h.Type == wire.TypeData {
					return bytes.Clone(f)[wire.HeaderSize:]
				}
			}
		}
		t.Fatal("no frame")
		return nil
	}
	a := first(99, "aaaaaaaaaaaaaaaaaaaaaaaa")
	f := wire.Fenced{Incarnation: 1, Silence: true, Items: []uint64{0}}
	p.Message(now, wire.ReplicaPeer(0), f.Append(nil))
	b := first(100, "bbbbbbbbbbbbbbbbbbbbbbbb")
	alike := 0
	for i := range a[:24] {
		if a[i] == b[i] {
			alike++
		}
	}
	if alike > 12 {
		t.Errorf("%d of the first 24 bytes are alike: under one key and nonce", alike)
	}
}
