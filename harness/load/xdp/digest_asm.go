package xdp

import "github.com/cilium/ebpf/asm"

// digestXXH3 leaves XXH3-64 of the header in R0. One block is prepared in the lane; the other three
// are multiplied here.
func (b *builder) digestXXH3(seed uint64) {
	_, key1 := xxKey(1, seed)
	key2lo, key2hi := xxKey(2, seed)
	key3, _ := xxKey(3, seed)
	keyed := func(dst asm.Register, slot int16, key uint64) {
		b.add(
			asm.LoadMem(dst, asm.R10, slot, asm.DWord),
			asm.LoadImm(asm.R3, int64(key), asm.DWord),
			asm.Xor.Reg(dst, asm.R3),
		)
	}
	b.add(asm.LoadMem(asm.R0, rLane, laneDigest, asm.DWord))

	b.add(asm.LoadMem(asm.R1, rLane, laneBlock1, asm.DWord))
	keyed(asm.R2, slotNumber, key1)
	b.mulFold()

	keyed(asm.R1, slotFirst, key2lo)
	keyed(asm.R2, slotNumber, key2hi) // highwater
	b.mulFold()

	keyed(asm.R1, slotTail, key3)
	b.add(asm.LoadMem(asm.R2, rLane, laneBlock3, asm.DWord))
	b.mulFold()
	b.avalanche()
}

// mulFold adds to R0 the two halves of the 128-bit product R1 * R2, folded by XOR. BPF multiplies to
// 64 bits, so the high half is put together from four products of 32-bit halves. R1 to R5 and R9
// are lost.
func (b *builder) mulFold() {
	const a, bb, hi1, hi2, cross, low = asm.R1, asm.R2, asm.R3, asm.R4, asm.R5, asm.R9
	b.add(
		asm.Mov.Reg(low, a),
		asm.Mul.Reg(low, bb),
		asm.Mov.Reg(hi1, a),
		asm.RSh.Imm(hi1, 32),
		asm.Mov.Reg32(a, a),
		asm.Mov.Reg(hi2, bb),
		asm.RSh.Imm(hi2, 32),
		asm.Mov.Reg32(bb, bb),

		asm.Mov.Reg(cross, a),
		asm.Mul.Reg(cross, bb), // low * low
		asm.RSh.Imm(cross, 32),
		asm.Mul.Reg(a, hi2),   // low * high
		asm.Mul.Reg(hi2, hi1), // high * high
		asm.Mul.Reg(hi1, bb),  // high * low
		asm.Mov.Reg32(bb, hi1),
		asm.Add.Reg(cross, bb),
		asm.Add.Reg(cross, a), // at most 2^64 - 1
		asm.RSh.Imm(cross, 32),
		asm.RSh.Imm(hi1, 32),
		asm.Add.Reg(hi2, hi1),
		asm.Add.Reg(hi2, cross),

		asm.Xor.Reg(low, hi2),
		asm.Add.Reg(asm.R0, low),
	)
}

// avalanche is XXH3's last step on R0.
func (b *builder) avalanche() {
	prime := uint64(xxPrimeMX1)
	b.add(
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.RSh.Imm(asm.R1, 37),
		asm.Xor.Reg(asm.R0, asm.R1),
		asm.LoadImm(asm.R1, int64(prime), asm.DWord),
		asm.Mul.Reg(asm.R0, asm.R1),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.RSh.Imm(asm.R1, 32),
		asm.Xor.Reg(asm.R0, asm.R1),
	)
}

// digestCRC leaves CRC-32C of the header in R0: the constant bytes' CRC from the lane, and one table
// entry for each byte of each changing number.
func (b *builder) digestCRC() {
	b.add(asm.LoadMem(asm.R0, rLane, laneDigest, asm.DWord))
	for field, slot := range []int16{slotNumber, slotFirst, slotTail} {
		b.add(
			asm.LoadMem(asm.R1, asm.R10, slot, asm.DWord),
			asm.Mov.Reg(asm.R3, rState),
			asm.Add.Imm(asm.R3, int32(tablesOffset+field*tableSize)),
		)
		for i := range 8 {
			b.add(
				asm.Mov.Reg(asm.R2, asm.R1),
				asm.And.Imm(asm.R2, 0xff),
				asm.LSh.Imm(asm.R2, 2),
				asm.Add.Reg(asm.R2, asm.R3),
				asm.LoadMem(asm.R4, asm.R2, int16(i*256*4), asm.Word),
				asm.Xor.Reg(asm.R0, asm.R4),
				asm.RSh.Imm(asm.R1, 8),
			)
		}
	}
}
