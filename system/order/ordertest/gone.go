package ordertest

import "testing"

// Who was sent everything, and waits at its gate for items that nobody keeps any more, gets a snapshot,
// even if nothing more is ever decided: nobody else tells that it stands still. Frames are dropped where
// the log is compacted (R17). A member that leads only since then must find out, too.
func goneItems(t *testing.T, by Algorithm) {
	for name, then := range map[string]func(c *Cluster) *Member{
		"TheSameLeader": func(c *Cluster) *Member { return c.Members[1] },
		"AnotherLeader": func(c *Cluster) *Member {
			if by.Leaderless {
				return c.Members[2]
			}
			first := c.Members[1]
			first.O.TransferLeader(2)
			c.Ready(first)
			c.Settle()
			return c.Elect(2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Met(t, by, 3, nil)
			m := c.Members[1]
			for n := uint64(1); n <= 3; n++ {
				c.Holds(7, n, 2)
				c.Propose(m, At(7, n))
				c.Settle()
				c.Tick()
				c.Tick()
			}
			position := m.Place.Position
			for _, id := range []uint64{1, 2} {
				if at := c.Members[id]; at.Place.Position < position {
					t.Fatalf("%d is at %d, not %d", id, at.Place.Position, position)
				}
				c.Members[id].O.Compact(position)
				c.Ready(c.Members[id])
			}
			m = then(c)
			for range 100 {
				c.Tick()
				for _, id := range []uint64{1, 2} {
					if s := c.Members[id]; s.want {
						s.want = false
						s.O.Snapshot(s.Place.Position)
						c.Ready(s)
					}
				}
			}
			if three := c.Members[3]; three.Place.Position < position {
				t.Fatalf("3 is at %d for ever, and %d is in nobody's log", three.Place.Position, position)
			}
			for range 20 {
				c.Tick()
			}
			if sent := len(c.Sent); sent > 4 {
				t.Fatalf("%d snapshots were sent where one will do", sent)
			}
			c.Holds(7, 4, 1, 2, 3)
			c.Propose(m, At(7, 4))
			c.Settle()
			for range 4 {
				c.Tick()
			}
			if three := c.Members[3]; three.Place.Position != m.Place.Position {
				t.Fatalf("behind the snapshot 3 is at %d, not %d", three.Place.Position, m.Place.Position)
			}
		})
	}
}
