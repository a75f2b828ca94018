//go:build dpdk

package dpdk

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"metronome/system/packet/ethernet"
)

// frameOf is the n-th frame of a stream both ends can compute: its number, then noise.
func frameOf(n uint64) []byte {
	r := rand.New(rand.NewPCG(n, 7))
	frame := make([]byte, 8+r.IntN(ethernet.MaxPayload-8))
	binary.LittleEndian.PutUint64(frame, n)
	for i := 8; i < len(frame); i++ {
		frame[i] = byte(r.Uint32())
	}
	return frame
}

const memifFrames = 20000

// sendStream sends the stream, again whatever a full ring did not take.
func sendStream(t *testing.T, p *Port) {
	for n := uint64(0); n < memifFrames; {
		var burst [][]byte
		for i := n; i < min(n+32, memifFrames); i++ {
			burst = append(burst, frameOf(i))
		}
		for len(burst) > 0 {
			k, err := p.Send(burst)
			if err != nil {
				t.Fatal(err)
			}
			burst, n = burst[k:], n+uint64(k)
		}
	}
}

// waitDown waits until the receiver has closed.
func waitDown(t *testing.T, d *Device) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := d.WaitDown(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestMemifBetweenProcesses(t *testing.T) {
	for name, client := range map[string]Memif{
		"default slots": {RingLog2: 8},
		"small slots":   {RingLog2: 8, BufferBytes: 1536},
	} {
		t.Run(name, func(t *testing.T) {
			pair(t, receiveStream, func(t *testing.T, socket string) {
				client.Socket = socket
				initEAL(t, client.Vdev())
				attach(t)
				d := open(t, testConfig(client.Name()))
				waitLink(t, d)
				sendStream(t, d.Port(0))
				waitDown(t, d)
			})
		})
	}
}

// A slot holds a whole packet, or the packet is refused.
func TestMemifSlotBoundsFrames(t *testing.T) {
	isolated(t, func(t *testing.T) {
		m := Memif{Socket: filepath.Join(t.TempDir(), "nobody.sock"), BufferBytes: 192}
		initEAL(t, m.Vdev())
		p := open(t, testConfig(m.Name())).Port(0)
		if _, err := p.Reserve(1, 192-ethernet.HeaderBytes); err != nil {
			t.Error(err)
		}
		if _, err := p.Reserve(1, 193-ethernet.HeaderBytes); err == nil {
			t.Error("a frame longer than the slot was taken")
		}
	})
}

// receiveStream is the server: it compares every frame with what must have been sent.
func receiveStream(t *testing.T, socket string) {
	m := Memif{Server: true, Socket: socket, RingLog2: 8}
	initEAL(t, m.Vdev())
	attach(t)
	d := open(t, testConfig(m.Name()))
	waitLink(t, d)
	next := uint64(0)
	collect(t, d.Port(0), memifFrames, func(frame []byte) {
		if string(frame) != string(frameOf(next)) {
			t.Fatalf("frame %d of %d bytes differs", next, len(frame))
		}
		next++
	})
	if s := d.Port(0).Stats(); s.RxFrames != memifFrames || s.RxForeign != 2 || s.RxBadUDP != 0 {
		t.Errorf("%+v: the two foreign packets are the sender's membership reports", s)
	}
	if s, err := d.Stats(); err != nil || s.RxPackets != memifFrames+2 {
		t.Errorf("%+v %v", s, err)
	}
}

// With two queue pairs each is a stream of its own.
func TestMemifTwoQueues(t *testing.T) {
	const perQueue = 1000
	config := func(device string) Config {
		c := testConfig(device)
		c.Queues = 2
		return c
	}
	pair(t, func(t *testing.T, socket string) {
		m := Memif{Server: true, Socket: socket}
		initEAL(t, m.Vdev())
		attach(t)
		d := open(t, config(m.Name()))
		waitLink(t, d)
		for q := range uint64(2) {
			collect(t, d.Port(int(q)), perQueue, func(frame []byte) {
				if got := binary.LittleEndian.Uint64(frame); got != q {
					t.Fatalf("queue %d got a frame of queue %d", q, got)
				}
			})
		}
	}, func(t *testing.T, socket string) {
		m := Memif{Socket: socket, RingLog2: 11}
		initEAL(t, m.Vdev())
		attach(t)
		d := open(t, config(m.Name()))
		waitLink(t, d)
		for q := range 2 {
			frame := make([]byte, 64)
			binary.LittleEndian.PutUint64(frame, uint64(q))
			for range perQueue {
				if n, err := d.Port(q).Send([][]byte{frame}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		waitDown(t, d)
	})
}

// A server that was killed leaves its socket behind; the next one takes the path over.
func TestStaleSocketIsTakenOver(t *testing.T) {
	isolated(t, func(t *testing.T) {
		m := Memif{Server: true, Socket: staleSocket(t)}
		initEAL(t, m.Vdev())
		d := open(t, testConfig(m.Name()))
		if d.LinkUp() {
			t.Error("a link without a peer")
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(m.Socket); !os.IsNotExist(err) {
			t.Errorf("the socket is still there after Close: %v", err)
		}
	})
}
