package ordertest

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"testing"

	"metronome/system/order"
)

var (
	seedFlag = flag.Uint64("ordertest.seed", 0, "run the random network once, with this seed")
	runsFlag = flag.Int("ordertest.runs", 0, "how many random networks to run; 0: as many as usual")
)

// Run tests an algorithm.
func Run(t *testing.T, by Algorithm) {
	for name, test := range map[string]func(*testing.T, Algorithm){
		"RandomNetwork": randomNetworks, "R18OneSeedTwiceIsTheSame": oneSeedTwice, "OneVoter": oneVoter,
		"R11TheGateHoldsBack": gateHoldsBack, "R14AMismatchIsRefused": mismatchRefused,
		"R8NoProposalOfWhatIsNotHeld": proposesHeldOnly, "R4HolesAfterRestart": holesAfterRestart,
		"R16ASlowDiskDelaysNoHeartbeat": slowDisk, "R15HandOver": handOver, "R26Reads": reads,
		"R17ASnapshotForWhoLacksMuch": snapshot, "Volatile": volatile, "HostileMessages": hostile,
		"R17WhatIsGoneComesAsASnapshot": goneItems, "FixedMembers": fixedMembers,
		"BrokenRecords": brokenRecords, "ACompactionIsOneRecord": oneRecord,
	} {
		t.Run(name, func(t *testing.T) { test(t, by) })
	}
}

// Whatever the network, the disks and the items do: one sequence (I2), what is committed is held by a
// majority (I1), and progress when the faults end.
func randomNetworks(t *testing.T, by Algorithm) {
	runs := cmp.Or(*runsFlag, by.Networks, 60)
	for seed := uint64(1); seed <= uint64(runs); seed++ {
		if *seedFlag != 0 && seed != *seedFlag {
			continue
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("replay: -run RandomNetwork -ordertest.runs %d -ordertest.seed %d", seed, seed)
				}
			}()
			newChaos(t, by, seed, 3+2*int(seed%2), nil).run(6000)
		})
	}
}

func oneSeedTwice(t *testing.T, by Algorithm) {
	run := func(seed uint64) string { return newChaos(t, by, seed, 5, nil).run(3000) }
	if a := run(77); a != run(77) {
		t.Error("the same seed gave two histories")
	} else if a == run(78) {
		t.Error("another seed gave the same history")
	}
}

// A single voter decides alone, and survives a restart.
func oneVoter(t *testing.T, by Algorithm) {
	c := New(t, by, 1, 6, nil)
	m := c.Elect(1)
	c.Propose(m, At(7, 1))
	c.Restart(m)
	c.Propose(c.Elect(1), At(7, 2))
	c.Outwait()
	if s := m.O.Status(); len(m.State) < 2 || s.Holes != 0 {
		t.Fatalf("%+v", s)
	}
}

// A decision comes out when a majority holds its items, and at a member when that member does.
func gateHoldsBack(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	m := c.Elect(1)
	c.Propose(m, At(7, 1))
	c.Settle()
	if n := len(c.Agreed); n != int(m.Place.Position)-1 || m.O.Status().Position >= m.O.Status().Last {
		t.Fatalf("%d decisions while one member holds it: %+v", n, m.O.Status())
	}
	c.Holds(7, 1, 2)
	c.Settle()
	c.Tick(1)
	c.Tick(1)
	two, three := c.Members[2], c.Members[3]
	if m.O.Status().Position != m.O.Status().Last || two.Place.Position != m.Place.Position ||
		three.Place.Position >= m.Place.Position {
		t.Fatalf("2 of 3 hold it: %d, %d, %d", m.Place.Position, two.Place.Position, three.Place.Position)
	}
	c.Holds(7, 1, 3)
	c.Settle()
	if three.Place.Position != m.Place.Position {
		t.Fatalf("all hold it: %d, not %d", three.Place.Position, m.Place.Position)
	}
}

// A cut of another history is refused and reported, by whoever holds that; the others go on.
func mismatchRefused(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	m := c.Elect(1)
	c.Holds(7, 1, 2)
	c.Members[3].Shelf.Forged[7] = true
	c.Propose(m, At(7, 1))
	c.Settle()
	s := c.Members[3].O.Status()
	if c.Members[3].Refused == 0 || s.Refused == 0 || s.Applied >= m.O.Status().Applied {
		t.Fatalf("%d reported, %+v", c.Members[3].Refused, s)
	}
	delete(c.Members[3].Shelf.Forged, 7)
	c.Holds(7, 1, 3)
	for range 6 {
		c.Tick(1)
	}
	if got := c.Members[3].Place.Position; got != m.Place.Position {
		t.Fatalf("it stays at %d, the leader is at %d", got, m.Place.Position)
	}
}

// What a compaction leaves is repeated in one record, however little it was asked to forget.
func oneRecord(t *testing.T, by Algorithm) {
	c := New(t, by, 1, 1, nil)
	m := c.Elect(1)
	large := order.Decision{Commands: make([]order.Command, order.MaxCommands)}
	for i := range large.Commands {
		large.Commands[i] = order.Command{Kind: order.SetLimits, Limits: make([]byte, order.MaxLimits)}
	}
	decision := order.AppendDecision(nil, &large)
	at, written := m.Place.Position, 0
	for written < order.MaxRepeated+2<<20 {
		if err := m.O.Propose(decision); err == nil {
			written += len(decision)
		} else if m.O.Tick(); !errors.Is(err, order.ErrBusy) {
			t.Fatal(err)
		}
		for rd := m.O.Ready(); rd.Persist != nil || len(rd.Committed) > 0; rd = m.O.Ready() {
			if n := len(rd.Committed); n > 0 {
				at = rd.Committed[n-1].Position
				m.O.Applied(at)
			}
			if rd.Persist != nil {
				m.O.Persisted(rd.Persist.Seq)
			}
		}
	}
	m.O.Compact(m.Place.Position + 1)
	p := m.O.Ready().Persist
	if p == nil || len(p.Records) != 1 || len(p.Records[0]) > order.MaxRepeated+1<<10 || p.Fresh > at {
		t.Fatalf("%d positions applied, after %d bytes: %d records", at, written, len(p.Records))
	}
}

func proposesHeldOnly(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	if err := c.Members[1].O.Propose(Decision()); !errors.Is(err, order.ErrNotLeader) {
		t.Errorf("a follower: %v", err)
	}
	m := c.Elect(1)
	if err := m.O.Propose(Decision(At(7, 1))); !errors.Is(err, order.ErrNotHeld) {
		t.Errorf("not held: %v", err)
	}
	if err := m.O.Propose([]byte{99}); !errors.Is(err, order.ErrMalformed) {
		t.Errorf("no decision: %v", err)
	}
}

// After a restart every accepted, unapplied cut is judged again: with a hole there is no campaigning
// and no applying past it.
func holesAfterRestart(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 7, nil)
	leader := c.Elect(1)
	for n := uint64(1); n <= 3; n++ {
		c.Propose(leader, At(7, n))
		c.Holds(7, n, 2)
		c.Settle()
	}
	two := c.Members[2]
	term := two.O.Status().Term
	two.Shelf.Frames[7] = 1 // its disk lost frames
	c.Restart(two)
	if s := two.O.Status(); s.Holes < 2 || s.Holes != 2 && !by.Leaderless || s.Term > term || s.Leading {
		t.Fatalf("%+v", s)
	}
	term = two.O.Status().Term
	c.Lost = func(from, to uint64) bool { return from == 1 || to == 1 }
	for range 100 {
		c.Tick(2)
	}
	if s := two.O.Status(); s.Term != term || s.Leader == 2 {
		t.Fatalf("campaigned with a hole: %+v", s)
	}
	c.Holds(7, 3, 2, 3)
	if s := two.O.Status(); s.Holes != 0 {
		t.Fatalf("%+v", s)
	}
	c.Lost = nil
	for range 60 {
		c.Tick()
	}
	for _, m := range c.Members {
		if m.Place.Position < 4 || m.Place.Position != leader.Place.Position {
			t.Fatalf("%d is at %d", m.ID, m.Place.Position)
		}
	}
}

// A leader whose disk stands still goes on speaking, and keeps what it leads.
func slowDisk(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	m := c.Elect(1)
	term := m.O.Status().Term
	for _, id := range c.IDs() {
		c.Members[id].Slow = true
	}
	if err := m.O.Propose(Decision()); err != nil {
		t.Fatal(err)
	}
	c.Ready(m)
	before := c.decisions()
	for range 100 {
		c.Tick()
	}
	if s := m.O.Status(); !s.Leading || s.Term != term || c.decisions() != before {
		t.Fatalf("%+v, %d decisions that nobody has durably", s, c.decisions()-before)
	}
	for _, id := range c.IDs() {
		c.Members[id].Slow = false
		c.Sync(c.Members[id])
		c.Ready(c.Members[id])
	}
	c.Settle()
	if n := c.decisions(); n != before+1 {
		t.Fatalf("%d decisions, %d before", n, before)
	}
}

func handOver(t *testing.T, by Algorithm) {
	if by.Leaderless {
		return // there is nothing to hand over
	}
	c := New(t, by, 3, 1, nil)
	m := c.Elect(1)
	m.O.TransferLeader(2)
	if err := m.O.Propose(Decision()); !errors.Is(err, order.ErrBusy) {
		t.Errorf("a proposal meanwhile: %v", err)
	}
	c.Ready(m)
	c.Settle()
	if s := c.Members[2].O.Status(); !s.Leading || m.O.Status().Leading {
		t.Fatalf("%+v", s)
	}
}

// A read is answered with what was decided when it was asked, by a leader that a majority confirms.
func reads(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	m := c.Elect(1)
	c.Propose(m)
	c.Settle()
	want := m.O.Status().Position
	m.O.ReadIndex(5)
	c.Ready(m)
	if len(m.Reads) > 0 {
		t.Fatal("answered before anybody confirmed")
	}
	c.Settle()
	c.Tick(1)
	c.Tick(1)
	c.Members[3].O.ReadIndex(6)
	c.Ready(c.Members[3])
	c.Settle()
	c.Outwait() // it may have to win a slot first
	for id, ctx := range map[uint64]uint64{1: 5, 3: 6} {
		got := c.Members[id].Reads
		if len(got) != 1 || got[0].Ctx != ctx || got[0].Position < want ||
			got[0].Position > want && !by.Leaderless { // there a read has a position of its own
			t.Errorf("%d: %+v, want %d", id, got, want)
		}
	}
	c.Lost = func(from, _ uint64) bool { return from != 1 }
	m.O.ReadIndex(7)
	c.Ready(m)
	c.Settle()
	if len(m.Reads) != 1 {
		t.Error("a leader that nobody answers answers reads")
	}
}

// What the log no longer holds comes as a snapshot; and the log goes on behind it.
func snapshot(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	m := c.Elect(1)
	c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 }
	for n := uint64(1); n <= 5; n++ {
		c.Holds(7, n, 2)
		c.Propose(m, At(7, n))
		c.Settle()
		c.Outwait()
	}
	m.Durable = m.Place
	for _, id := range []uint64{1, 2} { // whoever is asked
		c.Members[id].O.Compact(m.Place.Position)
		c.Ready(c.Members[id])
	}
	c.Lost = nil
	for range 6 {
		c.Tick(1)
	}
	if !m.want {
		t.Fatal("nobody asked for a snapshot")
	}
	m.O.Snapshot(m.Place.Position)
	for range 6 {
		c.Tick(1)
	}
	c.Holds(7, 6, 2, 3)
	c.Propose(m, At(7, 6))
	c.Settle()
	c.Tick(1)
	c.Tick(1)
	three := c.Members[3]
	if len(c.Sent) == 0 || three.Place.Position != m.Place.Position {
		t.Fatalf("%d transfers, 3 is at %d, not %d", len(c.Sent), three.Place.Position, m.Place.Position)
	}
	c.Restart(three)
	c.Restart(m)
	for range 60 {
		c.Tick()
	}
	if three.Place.Position != m.Place.Position || three.Place.Position < 7 {
		t.Fatalf("after restarts: %d and %d", three.Place.Position, m.Place.Position)
	}
}

// With memory durability nothing is recorded.
func volatile(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, func(c *order.Config) { c.Volatile = true })
	m := c.Elect(1)
	c.Propose(m)
	c.Settle()
	m.O.Compact(m.Place.Position)
	c.Ready(m)
	for _, m := range c.Members {
		if len(m.Records) > 0 {
			t.Fatalf("%d wrote %d records", m.ID, len(m.Records))
		}
	}
}

// Bytes that no orderer sends are errors and nothing else.
func hostile(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	m := c.Elect(1)
	c.Propose(m)
	all := append([]envelope(nil), c.net...)
	c.Settle()
	for _, e := range all {
		for n := range e.data {
			for _, with := range []byte{0, 1, 0x7f, 0xff} {
				bent := append([]byte(nil), e.data...)
				bent[n] = with
				_ = c.Members[e.to].O.Step(e.from, bent[:n])
				_ = c.Members[e.to].O.Step(e.from, bent)
				_ = c.Members[e.to].O.Step(99, bent)
			}
		}
	}
}
