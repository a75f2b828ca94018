package client_test

import (
	"context"
	"sync"
	"testing"

	"metronome/system/client"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// instant answers every op with success at once.
type instant struct{}

func (instant) Submit(_ uint64, ops []resp.Op, c resp.Completer) {
	done := make([]resp.Done, len(ops))
	for i := range ops {
		done[i] = resp.Done{Tag: ops[i].Tag, Result: wire.Result{Revision: 1}}
	}
	c.Complete(done)
}

// One client's puts through the protocol, both ends in this process, without a store.
func BenchmarkPutAsync(b *testing.B) {
	db := connect(b, client.Config{}, newProxy(b, instant{}, resp.Options{}))
	value := make([]byte, 64)
	ctx := context.Background()
	var all sync.WaitGroup
	done := func(err error) {
		if err != nil {
			b.Error(err)
		}
		all.Done()
	}
	b.ReportAllocs()
	for b.Loop() {
		all.Add(1)
		if err := db.PutAsync(ctx, "0123456789abcdef", value, done); err != nil {
			b.Fatal(err)
		}
	}
	all.Wait()
}

func BenchmarkPut(b *testing.B) {
	db := connect(b, client.Config{}, newProxy(b, instant{}, resp.Options{}))
	value := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if err := db.Put(context.Background(), "0123456789abcdef", value); err != nil {
			b.Fatal(err)
		}
	}
}
