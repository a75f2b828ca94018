package xdp

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"metronome/system/wire"
)

// Return values of an XDP program, linux/bpf.h.
const (
	xdpDrop = 1
	xdpTx   = 3
)

// Registers with one meaning throughout the program. The others come and go.
const (
	rState = asm.R6 // the map's value
	rPkt   = asm.R7 // the packet; before the time is known, the context
	rLane  = asm.R8 // the lane's part of the map
)

// Stack slots.
const (
	slotNumber = -8
	slotFirst  = -16
	slotTail   = -24
)

// builder collects the program. Each method appends one paragraph of it.
type builder struct {
	asm.Instructions
	mapFD     int
	testClock bool // take the time from the map
}

func (b *builder) add(ins ...asm.Instruction) { b.Instructions = append(b.Instructions, ins...) }

// label names the next instruction.
func (b *builder) label(name string, ins asm.Instruction) { b.add(ins.WithSymbol(name)) }

// increment adds 1 to a counter of the state.
func (b *builder) increment(off int16) {
	b.add(
		asm.LoadMem(asm.R1, rState, off, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(rState, off, asm.R1, asm.DWord),
	)
}

// newProgram assembles and loads the generator's program for a config.
func newProgram(c *Config, m *ebpf.Map, testClock bool) (*ebpf.Program, error) {
	var h wire.Header
	h.Get(c.Header)
	b := &builder{mapFD: m.FD(), testClock: testClock}
	b.window()
	b.pace()
	b.packet()
	b.pickLane()
	b.copyImage()
	b.numbers(int32(h.Count), c.Window)
	switch h.Mode {
	case wire.ModeXXH3:
		b.digestXXH3(c.HeaderSeed)
	case wire.ModeCRC32C:
		b.digestCRC()
	default:
		b.add(asm.Mov.Imm(asm.R0, 0))
	}
	b.add(asm.StoreMem(rPkt, digestOffset, asm.R0, asm.DWord))
	b.checksum()
	b.add(asm.Mov.Imm(asm.R0, xdpTx), asm.Return())
	b.label("drop", asm.Mov.Imm(asm.R0, xdpDrop))
	b.add(asm.Return())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "mtn_generate", Type: ebpf.XDP,
		License: "Apache-2.0", Instructions: b.Instructions})
	if err != nil {
		return nil, fmt.Errorf("load XDP program: %w", err)
	}
	return p, nil
}

// window reads the time and leaves unless the trial is on. After it, R0 is ns since the start.
func (b *builder) window() {
	b.add(
		asm.Mov.Reg(rPkt, asm.R1),
		asm.LoadMapValue(rState, b.mapFD, 0),
	)
	if b.testClock {
		b.add(asm.LoadMem(asm.R0, rState, stateClock, asm.DWord))
	} else {
		b.add(asm.FnKtimeGetNs.Call())
	}
	b.add(
		asm.Mov.Reg(asm.R9, asm.R0),
		asm.LoadMem(asm.R1, rState, stateStart, asm.DWord),
		asm.JLT.Reg(asm.R0, asm.R1, "drop"),
		asm.Sub.Reg(asm.R0, asm.R1),
		asm.LoadMem(asm.R1, rState, stateDuration, asm.DWord),
		asm.JGE.Reg(asm.R0, asm.R1, "drop"),
	)
	b.increment(statePolls)
}

// pace leaves unless a slot is due, skips slots too far behind, and takes the next.
func (b *builder) pace() {
	b.add(
		asm.LoadMem(asm.R2, rState, stateInterval, asm.DWord),
		asm.JEq.Imm(asm.R2, 0, "due"),
		asm.LSh.Imm(asm.R0, fracBits),
		asm.LoadMem(asm.R1, rState, stateNext, asm.DWord),
		asm.JGT.Reg(asm.R1, asm.R0, "drop"),
		asm.Sub.Reg(asm.R0, asm.R1), // how far behind
		asm.LoadMem(asm.R3, rState, stateSlack, asm.DWord),
		asm.JLT.Reg(asm.R0, asm.R3, "take"),
		// Of the behind/interval + 1 slots that are due, skip all but MaxBehind.
		asm.Div.Reg(asm.R0, asm.R2),
		asm.Sub.Imm(asm.R0, MaxBehind-1),
		asm.LoadMem(asm.R3, rState, stateMissed, asm.DWord),
		asm.Add.Reg(asm.R3, asm.R0),
		asm.StoreMem(rState, stateMissed, asm.R3, asm.DWord),
		asm.Mul.Reg(asm.R0, asm.R2),
		asm.Add.Reg(asm.R1, asm.R0),
	)
	b.label("take", asm.Add.Reg(asm.R1, asm.R2))
	b.add(asm.StoreMem(rState, stateNext, asm.R1, asm.DWord))
}

// packet finds the packet, and shows the verifier that its first imageSize bytes are there.
func (b *builder) packet() {
	b.label("due", asm.LoadMem(asm.R2, rPkt, 4, asm.Word)) // xdp_md.data_end
	b.add(
		asm.LoadMem(rPkt, rPkt, 0, asm.Word), // xdp_md.data
		asm.Mov.Reg(asm.R1, rPkt),
		asm.Add.Imm(asm.R1, imageSize),
		asm.JGT.Reg(asm.R1, asm.R2, "drop"),
		asm.StoreMem(rState, stateLast, asm.R9, asm.DWord),
		asm.LoadMem(asm.R1, rState, stateEmitted, asm.DWord),
		asm.JNE.Imm(asm.R1, 0, "later"),
		asm.StoreMem(rState, stateFirst, asm.R9, asm.DWord),
	)
	b.label("later", asm.Add.Imm(asm.R1, 1))
	b.add(asm.StoreMem(rState, stateEmitted, asm.R1, asm.DWord))
}

// pickLane takes the lanes in turn. The mask tells the verifier what Go guarantees.
func (b *builder) pickLane() {
	b.add(
		asm.LoadMem(asm.R1, rState, stateLane, asm.DWord),
		asm.And.Imm(asm.R1, MaxLanes-1),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Add.Imm(asm.R2, 1),
		asm.LoadMem(asm.R3, rState, stateLanes, asm.DWord),
		asm.JLT.Reg(asm.R2, asm.R3, "turn"),
		asm.Mov.Imm(asm.R2, 0),
	)
	b.label("turn", asm.StoreMem(rState, stateLane, asm.R2, asm.DWord))
	b.add(
		asm.Mul.Imm(asm.R1, laneSize),
		asm.Mov.Reg(rLane, rState),
		asm.Add.Imm(rLane, lanesOffset),
		asm.Add.Reg(rLane, asm.R1),
	)
}

// copyImage writes everything that is constant in the lane's headers.
func (b *builder) copyImage() {
	word := func(off int16, size asm.Size) {
		b.add(
			asm.LoadMem(asm.R1, rLane, laneImage+off, size),
			asm.StoreMem(rPkt, off, asm.R1, size),
		)
	}
	for off := int16(0); off+8 <= frameOffset; off += 8 {
		word(off, asm.DWord)
	}
	word(frameOffset&^7, asm.Half) // 66 is 8 * 8 + 2
	word(hashOffset, asm.DWord)
}

// numbers writes frame, first, highwater and tail, and keeps them on the stack.
func (b *builder) numbers(items int32, window uint64) {
	b.add(
		asm.LoadMem(asm.R1, rLane, laneNext, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Add.Imm(asm.R2, 1),
		asm.StoreMem(rLane, laneNext, asm.R2, asm.DWord),
		asm.StoreMem(rPkt, frameOffset, asm.R1, asm.DWord),
		asm.StoreMem(rPkt, highOffset, asm.R1, asm.DWord),
		asm.StoreMem(asm.R10, slotNumber, asm.R1, asm.DWord),
		asm.Mul.Imm(asm.R1, items),
		asm.StoreMem(rPkt, firstOffset, asm.R1, asm.DWord),
		asm.StoreMem(asm.R10, slotFirst, asm.R1, asm.DWord),
		asm.LoadImm(asm.R1, int64(window), asm.DWord),
		asm.Mov.Imm(asm.R3, 0),
		asm.JLE.Reg(asm.R2, asm.R1, "whole"),
		asm.Mov.Reg(asm.R3, asm.R2),
		asm.Sub.Reg(asm.R3, asm.R1),
	)
	b.label("whole", asm.StoreMem(rPkt, tailOffset, asm.R3, asm.DWord))
	b.add(asm.StoreMem(asm.R10, slotTail, asm.R3, asm.DWord))
}

// checksum completes the UDP checksum; the digest is in R0. The sum is kept in 64 bits: 2^16 is 1
// modulo 65535, so 32-bit halves may be added as they are and folded at the end.
func (b *builder) checksum() {
	halves := func() { // R2 into the sum
		b.add(
			asm.Mov.Reg32(asm.R3, asm.R2),
			asm.Add.Reg(asm.R1, asm.R3),
			asm.RSh.Imm(asm.R2, 32),
			asm.Add.Reg(asm.R1, asm.R2),
		)
	}
	b.add(asm.LoadMem(asm.R1, rLane, laneSum, asm.DWord), asm.Mov.Reg(asm.R2, asm.R0))
	halves()
	for _, slot := range []int16{slotNumber, slotNumber, slotFirst, slotTail} {
		b.add(asm.LoadMem(asm.R2, asm.R10, slot, asm.DWord))
		halves()
	}
	b.add(asm.Mov.Reg(asm.R2, asm.R1), asm.Mov.Imm(asm.R1, 0))
	halves()
	for range 2 { // what exceeds 2^32 now is less than 2^16, so no third carry can arise
		b.add(
			asm.Mov.Reg(asm.R2, asm.R1),
			asm.RSh.Imm(asm.R2, 16),
			asm.And.Imm(asm.R1, 0xffff),
			asm.Add.Reg(asm.R1, asm.R2),
		)
	}
	b.add(asm.Xor.Imm(asm.R1, 0xffff), asm.JNE.Imm(asm.R1, 0, "summed"),
		asm.Mov.Imm(asm.R1, 0xffff)) // 0 would mean that there is no checksum
	b.label("summed", asm.StoreMem(rPkt, sumOffset, asm.R1, asm.Half))
}
