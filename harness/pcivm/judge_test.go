package pcivm

import (
	"testing"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/ethernet"
	"metronome/system/wire"
)

// marks are the watermarks of the lanes, each in the queue where its frames came out.
func marks(t *testing.T, a *Answer) (m [Lanes]lane.Mark) {
	t.Helper()
	for _, q := range a.Queues {
		for l, at := range q.Lanes {
			if at.Mark.Frames > m[l].Frames {
				m[l] = at.Mark
			}
		}
	}
	return m
}

// total sums the queues up.
func total(a *Answer) (p packet.Stats, v dpdk.Verdicts, in lane.Counters) {
	for _, q := range a.Queues {
		p.RxFrames += q.Port.RxFrames
		p.RxForeign += q.Port.RxForeign
		p.RxBadUDP += q.Port.RxBadUDP
		p.RxDropped += q.Port.RxDropped
		p.RxErrors += q.Port.RxErrors
		in.Frames += q.Ingest.Frames
		in.Duplicate += q.Ingest.Duplicate
		in.Queued += q.Ingest.Queued
		in.Items += q.Ingest.Items
		for i := range v {
			v[i] += q.Verdicts[i]
		}
		for i := range in.Bad {
			in.Bad[i] += q.Ingest.Bad[i]
		}
	}
	return p, v, in
}

// counters judges that all that was sent is accounted for, once.
func counters(t *testing.T, i int, a *Answer) {
	t.Helper()
	p, v, in := total(a)
	foreign := uint64(1)                                                 // the query
	if cases[i].filter != dpdk.FilterList || cases[i].pmd == "net_tap" { // whose list filters nothing
		foreign += otherGroups // the device let them in; they are counted
	}
	const taken = Lanes * framesPerLane
	want := packet.Stats{RxFrames: handedOut, RxForeign: foreign, RxBadUDP: badSums}
	if p != want {
		t.Errorf("ports count %+v, not %+v; packets by verdict %v", p, want, v)
	}
	if v[ethernet.IGMP] != 1 || v[ethernet.BadUDPSum] != badSums {
		t.Errorf("packets by verdict: %v", v)
	}
	if in.Frames != p.RxFrames || in.Duplicate != duplicates || in.Queued != taken || in.Items != taken ||
		in.Bad[wire.BadPayload] != badDigests {
		t.Errorf("ingest counts %+v", in)
	}
	if all := p.RxFrames + p.RxForeign + p.RxBadUDP; a.Device.RxPackets != all {
		t.Errorf("the device counts %d packets, its ports %d: %+v", a.Device.RxPackets, all, a.Device)
	}
}

// spread judges which queue each lane came out of: the one that the hash and the table, or the rules,
// foretell, or the first if the NIC has no receive-side scaling.
func spread(t *testing.T, s *sender, i int, a *Answer) {
	t.Helper()
	used := map[int]bool{}
	for l := range Lanes {
		want := 0
		if cases[i].spread {
			want = s.queueOf(s.packet(Group, [6]byte{}, l, s.lanes[l][0]), len(a.Queues))
		}
		for q := range a.Queues {
			held := a.Queues[q].Lanes[l].Held
			used[q] = used[q] || held > 0
			if (held > 0) != (q == want) {
				t.Errorf("lane %d: %d frames in queue %d; its queue is %d", l, held, q, want)
			}
		}
	}
	if cases[i].spread && len(used) != len(a.Queues) {
		t.Errorf("lanes reached queues %v of %d", used, len(a.Queues))
	}
}
