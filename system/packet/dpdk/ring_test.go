//go:build dpdk

package dpdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"unsafe"

	"metronome/system/packet"
	"metronome/system/packet/ethernet"
	"metronome/system/packet/porttest"
)

// ringPort is a port that receives what it sends.
func ringPort(t *testing.T) *Port {
	t.Helper()
	initEAL(t, Ring{}.Vdev())
	attach(t)
	cfg := testConfig(Ring{}.Name())
	cfg.NoIGMP = true
	return open(t, cfg).Port(0)
}

// What every port must do, over a device that receives what it sent.
func TestRingIsAPort(t *testing.T) {
	isolated(t, func(t *testing.T) {
		p := ringPort(t)
		porttest.Exchange(t, p, p, 2000, nil)
		porttest.Hostile(t, p, p, nil)
		porttest.Allocations(t, p, p)
	})
}

func TestRingSendAndRecv(t *testing.T) {
	isolated(t, func(t *testing.T) {
		p := ringPort(t)
		var sent [][]byte
		for n := 0; n <= ethernet.MaxPayload; n += 92 {
			sent = append(sent, bytes.Repeat([]byte{byte(n)}, n))
		}
		if n, err := p.Send(sent); n != len(sent) || err != nil {
			t.Fatalf("sent %d of %d: %v", n, len(sent), err)
		}
		i := 0
		collect(t, p, len(sent), func(frame []byte) {
			if !bytes.Equal(frame, sent[i]) {
				t.Fatalf("frame %d differs", i)
			}
			i++
		})
		s := p.Stats()
		if s.TxFrames != s.RxFrames || s.TxBytes != s.RxBytes || s.RxFrames != uint64(len(sent)) {
			t.Fatalf("%+v", s)
		}
	})
}

func TestRingReserveAndTransmit(t *testing.T) {
	isolated(t, func(t *testing.T) {
		p := ringPort(t)
		for _, size := range []int{96, 96, 8, ethernet.MaxPayload, 1} {
			out, err := p.Reserve(40, size)
			if len(out) != 40 || err != nil {
				t.Fatalf("%d buffers, %v", len(out), err)
			}
			for i := range out {
				copy(out[i].Payload, bytes.Repeat([]byte{byte(i)}, size))
				out[i].Lane = uint16(i)
			}
			if n, err := p.Transmit(33); n != 33 || err != nil {
				t.Fatalf("sent %d, %v", n, err)
			}
			i := 0
			collect(t, p, 33, func(frame []byte) {
				if !bytes.Equal(frame, bytes.Repeat([]byte{byte(i)}, size)) {
					t.Fatalf("size %d: frame %d differs", size, i)
				}
				if got := sourcePort(frame); got != testSource.Port()+uint16(i) {
					t.Fatalf("size %d: frame %d came from port %d", size, i, got)
				}
				i++
			})
		}
	})
}

// sourcePort looks at the header in front of a received frame.
func sourcePort(frame []byte) uint16 {
	header := unsafe.Add(unsafe.Pointer(unsafe.SliceData(frame)), -ethernet.UDPBytes)
	return binary.BigEndian.Uint16(unsafe.Slice((*byte)(header), 2))
}

// A ring of 1023 packets takes the first burst whole, of the third only what is left.
func TestFullRingIsCountedNotRetried(t *testing.T) {
	isolated(t, func(t *testing.T) {
		p := ringPort(t)
		total := 0
		for range 4 {
			out, err := p.Reserve(400, 8)
			if len(out) != 400 || err != nil {
				t.Fatal(len(out), err)
			}
			for i := range out {
				binary.LittleEndian.PutUint64(out[i].Payload, uint64(total+i))
			}
			n, err := p.Transmit(400)
			if err != nil {
				t.Fatal(err)
			}
			if n < 400 && total+n != 1023 {
				t.Fatalf("%d taken after %d", n, total)
			}
			total += n
		}
		if s := p.Stats(); s.TxFrames != uint64(total) || s.TxFull != uint64(1600-total) {
			t.Fatalf("%+v", s)
		}
		next := uint64(0)
		collect(t, p, total, func(frame []byte) {
			if got := binary.LittleEndian.Uint64(frame); got != next {
				t.Fatalf("frame %d where %d belongs", got, next)
			}
			next++
		})
	})
}

func TestBadPacketsAreCountedByCause(t *testing.T) {
	isolated(t, func(t *testing.T) {
		p := ringPort(t)
		tpl, err := ethernet.NewTemplate(ethernet.Flow{Src: testSource, Dst: testGroup, Checksum: true})
		if err != nil {
			t.Fatal(err)
		}
		want := Verdicts{ethernet.OK: 1}
		for verdict, edit := range map[ethernet.Verdict]func(pkt []byte){
			ethernet.Foreign:   func(pkt []byte) { pkt[12] = 0x86 },
			ethernet.IGMP:      func(pkt []byte) { pkt[23] = 2 },
			ethernet.BadLength: func(pkt []byte) { pkt[38] = 9 },
			ethernet.BadIPSum:  func(pkt []byte) { pkt[22]++ },
			ethernet.Fragment:  func(pkt []byte) { pkt[20] |= 0x20; pkt[24] -= 0x20 },
			ethernet.BadUDPSum: func(pkt []byte) { pkt[45]++ },
		} {
			pkt := make([]byte, ethernet.HeaderBytes+32)
			tpl.Put(pkt, 0)
			edit(pkt)
			want[verdict] = uint64(verdict)
			for range verdict {
				p.sendRaw(pkt)
			}
		}
		if n, err := p.Send([][]byte{[]byte("a good one at the end")}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		collect(t, p, 1, func(frame []byte) {
			if string(frame) != "a good one at the end" {
				t.Errorf("a bad packet came through: %q", frame)
			}
		})
		if got := p.Verdicts(); got != want {
			t.Errorf("verdicts %v, want %v", got, want)
		}
		if s := p.Stats(); s.RxForeign != 1+2 || s.RxBadUDP != 3+4+5+6 || s.RxFrames != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	isolated(t, func(t *testing.T) {
		p := ringPort(t)
		frames := make([][]byte, 64)
		burst := make([][]byte, 32)
		for i := range burst {
			burst[i] = make([]byte, 96)
		}
		for name, f := range map[string]func(){
			"Send":     func() { p.Send(burst) },
			"Transmit": func() { p.Reserve(32, 96); p.Transmit(32) },
			"Recv":     func() {},
		} {
			if n := testing.AllocsPerRun(200, func() { f(); p.Recv(frames); p.Stats() }); n != 0 {
				t.Errorf("%s: %v allocations a burst", name, n)
			}
		}
		if s := p.Stats(); s.RxFrames < 200*64 {
			t.Errorf("nothing went through: %+v", s)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	isolated(t, func(t *testing.T) {
		p := ringPort(t)
		if _, err := p.Send([][]byte{make([]byte, ethernet.MaxPayload+1)}); err == nil {
			t.Error("Send took a frame longer than a packet")
		}
		if _, err := p.Reserve(1, ethernet.MaxPayload+1); err == nil {
			t.Error("Reserve gave a buffer longer than a packet")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		frames := make([][]byte, 1)
		if _, err := p.Recv(frames); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Recv after Close: %v", err)
		}
		if _, err := p.Send(frames); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		if _, err := p.Reserve(1, 1); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Reserve after Close: %v", err)
		}
		if _, err := p.Transmit(1); !errors.Is(err, packet.ErrClosed) {
			t.Errorf("Transmit after Close: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}
