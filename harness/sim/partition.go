package sim

// injectNetwork does one fault of the network; each heals after a while.
func (n *nemesis) injectNetwork(w *world, f fault) bool {
	a, b := n.replica(w), n.random(w, func(p *process) bool { return p.up })
	if a == nil || b == nil || a == b {
		return false
	}
	length := n.rng.Int64N(120*milli) + milli
	switch f {
	case faultIsolate:
		n.cut(w, length, func(x, y *process) bool { return x == a || y == a })
	case faultOneWay:
		n.cut(w, length, func(x, y *process) bool { return x == a && (y == b || n.rng.IntN(2) == 0) })
	case faultHalves:
		side := n.sides(w)
		n.cut(w, length, func(x, y *process) bool { return side[x.slot] != side[y.slot] })
	case faultBridge:
		side := n.sides(w)
		n.cut(w, length, func(x, y *process) bool { return x != a && y != a && side[x.slot] != side[y.slot] })
	case faultClog:
		l := w.net.link(a.slot, b.slot)
		if n.rng.IntN(2) == 0 {
			l = w.net.link(b.slot, a.slot)
		}
		l.clogged = max(l.clogged, w.now+length)
	case faultBreak:
		w.net.breakConn(w, a.slot, b.slot)
	case faultStorm:
		n.storm(w, length)
	}
	return true
}

// sides puts every slot on one of two sides.
func (n *nemesis) sides(w *world) []bool {
	side := make([]bool, len(w.procs))
	for i := range side {
		side[i] = n.rng.IntN(2) == 0
	}
	return side
}

// cut blocks the directed links that are chosen, for a while.
func (n *nemesis) cut(w *world, length int64, chosen func(from, to *process) bool) {
	var links [][2]int32
	for _, x := range w.procs {
		for _, y := range w.procs {
			if x != y && chosen(x, y) && !w.net.link(x.slot, y.slot).blocked {
				links = append(links, [2]int32{x.slot, y.slot})
				w.net.block(w, x.slot, y.slot, true)
			}
		}
	}
	w.after(length, func() {
		for _, l := range links {
			w.net.block(w, l[0], l[1], false)
		}
	})
}

// storm makes the whole network lose most datagrams for a while.
func (n *nemesis) storm(w *world, length int64) {
	w.net.storm, w.net.stormEnds = 0.5+0.5*n.rng.Float64(), w.now+min(length, 30*milli)
}
