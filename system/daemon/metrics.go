package daemon

import (
	"strconv"
	"strings"

	"metronome/system/ops"
	"metronome/system/stream"
	"metronome/system/wire"
)

var streamTable = ops.Table{
	{Name: "metronome_peer_up", Help: "1 while the peer is connected.", Labels: []string{"peer"}},
	{Name: "metronome_peer_sent_bytes_total", Help: "Bytes of messages sent.", Labels: []string{"peer", "kind"}},
	{Name: "metronome_peer_sent_messages_total", Help: "Messages sent.", Labels: []string{"peer", "kind"}},
	{Name: "metronome_peer_received_messages_total", Help: "Messages received.", Labels: []string{"peer", "kind"}},
	{Name: "metronome_peer_dropped_messages_total", Help: "Messages not taken, by cause.", Labels: []string{"peer", "cause"}},
	{Name: "metronome_peer_rtt_seconds", Help: "Round trip through both sides' queues.", Labels: []string{"peer"}},
	{Name: "metronome_peer_queued_bytes", Help: "Bytes that wait to be sent.", Labels: []string{"peer"}},
}

func emitStreams(t *stream.Transport, emit ops.Emit) {
	var s stream.Stats
	for _, p := range t.Peers() {
		if !t.Stats(p, &s) {
			continue
		}
		name := p.String()
		emit("metronome_peer_up", number(s.Up), name)
		emit("metronome_peer_rtt_seconds", s.RTT.Seconds(), name)
		emit("metronome_peer_queued_bytes", float64(s.Queued), name)
		emit("metronome_peer_dropped_messages_total", float64(s.Drops.Down), name, "down")
		emit("metronome_peer_dropped_messages_total", float64(s.Drops.Full), name, "full")
		emit("metronome_peer_dropped_messages_total", float64(s.Drops.Invalid), name, "invalid")
		for k := range s.Sent {
			kind := wire.Kind(k).String()
			if kind == "unknown" {
				continue
			}
			if c := s.Sent[k]; c.Messages > 0 {
				emit("metronome_peer_sent_bytes_total", float64(c.Bytes), name, kind)
				emit("metronome_peer_sent_messages_total", float64(c.Messages), name, kind)
			}
			if c := s.Received[k]; c.Messages > 0 {
				emit("metronome_peer_received_messages_total", float64(c.Messages), name, kind)
			}
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var replicaTable = ops.Table{
	{Name: "metronome_replica_leading", Help: "1 while this replica leads."},
	{Name: "metronome_replica_term", Help: "Term of the orderer."},
	{Name: "metronome_replica_quorum_margin", Help: "Voters that may be lost before the cluster halts."},
	{Name: "metronome_replica_voters", Help: "Voters of the cluster."},
	{Name: "metronome_replica_rounds_total", Help: "Positions agreed."},
	{Name: "metronome_replica_cuts_total", Help: "Of these, positions that took items."},
	{Name: "metronome_replica_committed_items_total", Help: "Items agreed."},
	{Name: "metronome_replica_applied_items_total", Help: "Items applied."},
	{Name: "metronome_replica_waiting_decisions", Help: "Decisions agreed and not applied."},
	{Name: "metronome_replica_gate_waiting_entries", Help: "Entries that wait for items at the gate."},
	{Name: "metronome_replica_gate_refused_cuts_total", Help: "Cuts refused for a digest mismatch."},
	{Name: "metronome_replica_hash_mismatches_total", Help: "State hashes of peers that were not ours."},
	{Name: "metronome_replica_bad_messages_total", Help: "Messages that could not be read."},
	{Name: "metronome_replica_unregistered_messages_total", Help: "Messages of lives that are not registered."},
	{Name: "metronome_replica_snapshots_sent_total", Help: "Snapshots sent to followers."},
	{Name: "metronome_replica_snapshots_installed_total", Help: "Snapshots installed here."},
	{Name: "metronome_replica_hedges_total", Help: "Answers sent because another replica owed them."},
	{Name: "metronome_replica_peer_item_bytes_total", Help: "Bytes of items sent to other replicas: 0 unless frames were lost."},
	{Name: "metronome_replica_fetched_frames_total", Help: "Frames that other replicas sent on request."},
	{Name: "metronome_replica_put_off_reads_total", Help: "Messages of reads put off: their proxy had as many answers as one barrier may give it."},
	{Name: "metronome_replica_feature_level", Help: "Feature level of the cluster."},
	{Name: "metronome_journal_records_total", Help: "Records written to the journal."},
	{Name: "metronome_journal_written_bytes_total", Help: "Bytes written to the journal, padding included."},
	{Name: "metronome_journal_syncs_total", Help: "Syncs of the journal."},
	{Name: "metronome_journal_bytes", Help: "Bytes of the journal on the disk."},
	{Name: "metronome_journal_refused_records_total", Help: "Records that had to wait for room."},
	{Name: "metronome_journal_snapshot_position", Help: "Position of the newest durable snapshot."},
	{Name: "metronome_journal_unsaved_snapshots_total", Help: "Snapshots that could not be written, for want of room for example, and are tried again."},
	{Name: "metronome_replica_full", Help: "1 while no new writes are taken: the store or the disk has reached its bound, or the journal, and no snapshot can be written."},
	{Name: "metronome_store_keys", Help: "Keys."},
	{Name: "metronome_store_size_bytes", Help: "Memory of keys, values and sessions."},
	{Name: "metronome_store_sessions", Help: "Open sessions."},
	{Name: "metronome_ingest_frames_total", Help: "Datagrams examined."},
	{Name: "metronome_ingest_bytes_total", Help: "Bytes of datagrams examined."},
	{Name: "metronome_ingest_dropped_frames_total", Help: "Datagrams dropped, by cause.", Labels: []string{"cause"}},
	{Name: "metronome_ingest_port_dropped_frames_total", Help: "Datagrams the port had no buffer for."},
	{Name: "metronome_ingest_core_frames_total", Help: "Datagrams that an ingest core verified.", Labels: []string{"core"}},
	{Name: "metronome_ingest_core_dropped_frames_total", Help: "Of these, dropped.", Labels: []string{"core"}},
	{Name: "metronome_ingest_core_handed_frames_total", Help: "Of these, handed on to the ordering thread.", Labels: []string{"core"}},
	{Name: "metronome_ingest_core_distributed_frames_total", Help: "Datagrams distributed to cores in software.", Labels: []string{"core"}},
	{Name: "metronome_ingest_core_software", Help: "1 if frames come to the core by distribution in software.", Labels: []string{"core"}},
	{Name: "metronome_ingest_core_waits_total", Help: "Times the core stopped polling until the ordering thread took frames.", Labels: []string{"core"}},
	{Name: "metronome_ingest_core_sleeps_total", Help: "Times the core slept.", Labels: []string{"core"}},
	{Name: "metronome_lane_held_frames", Help: "Frames held.", Labels: []string{"lane"}},
	{Name: "metronome_lane_committed_items_total", Help: "Items agreed.", Labels: []string{"lane"}},
	{Name: "metronome_lane_repaired_frames_total", Help: "Frames that came by repair.", Labels: []string{"lane"}},
	{Name: "metronome_lane_duplicate_frames_total", Help: "Frames held already.", Labels: []string{"lane"}},
	{Name: "metronome_lane_nacks_total", Help: "Requests for repair.", Labels: []string{"lane"}},
	{Name: "metronome_lane_nacked_frames_total", Help: "Frames asked for.", Labels: []string{"lane"}},
	{Name: "metronome_loop_turns_total", Help: "Turns of the poll loop."},
	{Name: "metronome_loop_sleeps_total", Help: "Times that the poll loop slept."},
	keyState, keyRefused, keyNeeded,
}

// Register adds the replica's metrics and health to its ops server.
func (r *Replica) Register(s *ops.Server) error {
	s.Ready(func() []ops.Reason {
		if err := r.View().NotReady; err != nil {
			return []ops.Reason{{Code: "not_ready", Text: strings.TrimPrefix(err.Error(), "replica: ")}}
		}
		return nil
	})
	s.Live(func() []ops.Reason {
		if err := r.View().Failed; err != nil {
			return []ops.Reason{{Code: "stopped", Text: err.Error()}}
		}
		return nil
	})
	return register(s, replicaTable, r.emit, r.net)
}

func register(s *ops.Server, t ops.Table, emit func(ops.Emit), net *stream.Transport) error {
	own, err := ops.Counters(t, emit)
	if err != nil {
		return err
	}
	streams, err := ops.Counters(streamTable, func(e ops.Emit) { emitStreams(net, e) })
	if err != nil {
		return err
	}
	return s.Register(own, streams)
}

func (r *Replica) emit(emit ops.Emit) {
	view := r.View()
	v := &view.Status
	for _, m := range []struct {
		name  string
		value float64
	}{
		{"metronome_replica_leading", number(v.ID != 0 && v.Status.Leader == v.ID)},
		{"metronome_replica_term", float64(v.Status.Term)},
		{"metronome_replica_quorum_margin", float64(r.margin(v.Members))},
		{"metronome_replica_voters", float64(len(v.Members.Voters))},
		{"metronome_replica_rounds_total", float64(v.Rounds)},
		{"metronome_replica_cuts_total", float64(v.Counters.Cuts)},
		{"metronome_replica_committed_items_total", float64(v.CommittedItems)},
		{"metronome_replica_applied_items_total", float64(v.AppliedItems)},
		{"metronome_replica_waiting_decisions", float64(v.Waiting)},
		{"metronome_replica_gate_waiting_entries", float64(v.Status.Waiting)},
		{"metronome_replica_gate_refused_cuts_total", float64(v.Counters.Mismatches)},
		{"metronome_replica_hash_mismatches_total", float64(v.Counters.HashMismatches)},
		{"metronome_replica_bad_messages_total", float64(v.Counters.BadMessages)},
		{"metronome_replica_unregistered_messages_total", float64(v.Counters.Unregistered)},
		{"metronome_replica_snapshots_sent_total", float64(v.Counters.SnapshotsSent)},
		{"metronome_replica_snapshots_installed_total", float64(v.Counters.SnapshotsTaken)},
		{"metronome_replica_hedges_total", float64(v.Counters.Hedges)},
		{"metronome_replica_peer_item_bytes_total", float64(v.Counters.ItemBytesToPeer)},
		{"metronome_replica_fetched_frames_total", float64(v.Counters.Fetched)},
		{"metronome_replica_put_off_reads_total", float64(v.Counters.PutOff)},
		{"metronome_replica_feature_level", float64(v.Feature)},
		{"metronome_journal_records_total", float64(view.Journal.Records)},
		{"metronome_journal_written_bytes_total", float64(view.Journal.Written)},
		{"metronome_journal_syncs_total", float64(view.Journal.Syncs)},
		{"metronome_journal_bytes", float64(view.Journal.Disk)},
		{"metronome_journal_refused_records_total", float64(view.Journal.Refused)},
		{"metronome_journal_snapshot_position", float64(v.Journal.Saved)},
		{"metronome_journal_unsaved_snapshots_total", float64(v.Counters.Unsaved)},
		{"metronome_replica_full", number(v.Full)},
		{"metronome_store_keys", float64(v.Keys)},
		{"metronome_store_size_bytes", float64(v.StoreBytes)},
		{"metronome_store_sessions", float64(v.Sessions)},
		{"metronome_ingest_frames_total", float64(v.Ingest.Frames)},
		{"metronome_ingest_bytes_total", float64(v.Ingest.Bytes)},
		{"metronome_ingest_port_dropped_frames_total", float64(view.Port.RxDropped)},
		{"metronome_loop_turns_total", float64(view.Loops)},
		{"metronome_loop_sleeps_total", float64(view.Sleeps)},
	} {
		emit(m.name, m.value)
	}
	for cause := 1; cause < wire.NumCauses; cause++ {
		emit("metronome_ingest_dropped_frames_total", float64(v.Ingest.Bad[cause]), wire.Cause(cause).String())
	}
	emit("metronome_ingest_dropped_frames_total", float64(v.Ingest.Duplicate), "duplicate")
	emit("metronome_ingest_dropped_frames_total", float64(v.Ingest.Refused), "refused")
	emitCores(view.Cores, emit)
	emitKeys(view.Ring, &v.Ingest.BadKeys, v.Journal.Keys, emit)
	for i := range v.Lanes {
		l := &v.Lanes[i]
		id := strconv.Itoa(int(l.ID))
		emit("metronome_lane_held_frames", float64(l.Mark.Frames-l.Trimmed), id)
		emit("metronome_lane_committed_items_total", float64(l.Cut.Items), id)
		emit("metronome_lane_repaired_frames_total", float64(l.Frames.Repaired), id)
		emit("metronome_lane_duplicate_frames_total", float64(l.Frames.Duplicate), id)
		emit("metronome_lane_nacks_total", float64(l.Frames.Nack.Requests), id)
		emit("metronome_lane_nacked_frames_total", float64(l.Frames.Nack.Asked), id)
	}
}

// emitCores names cores by their place in the cluster file's list: CPUs may be named twice.
func emitCores(cores []IngestView, emit ops.Emit) {
	for i := range cores {
		c := &cores[i]
		core := strconv.Itoa(i)
		emit("metronome_ingest_core_frames_total", float64(c.Verified.Frames), core)
		emit("metronome_ingest_core_dropped_frames_total", float64(c.Verified.Dropped()), core)
		emit("metronome_ingest_core_handed_frames_total", float64(c.Handed), core)
		emit("metronome_ingest_core_distributed_frames_total", float64(c.Spread), core)
		emit("metronome_ingest_core_software", number(c.Software), core)
		emit("metronome_ingest_core_waits_total", float64(c.Full), core)
		emit("metronome_ingest_core_sleeps_total", float64(c.Sleeps), core)
	}
}

var proxyTable = ops.Table{
	{Name: "metronome_proxy_open", Help: "1 while the proxy has lanes."},
	{Name: "metronome_proxy_incarnation", Help: "The proxy's incarnation."},
	{Name: "metronome_proxy_refounded_total", Help: "Times that the cluster turned out to be founded anew."},
	{Name: "metronome_proxy_taken_ops_total", Help: "Operations taken."},
	{Name: "metronome_proxy_busy_ops_total", Help: "Operations refused at a bound."},
	{Name: "metronome_proxy_hedges_total", Help: "Times that another replica was asked for answers."},
	{Name: "metronome_proxy_reissued_reads_total", Help: "Reads sent again as new items."},
	{Name: "metronome_proxy_nacks_total", Help: "Requests for repair received."},
	{Name: "metronome_proxy_sent_frames_total", Help: "Frames multicast."},
	{Name: "metronome_proxy_sent_bytes_total", Help: "Bytes of frames multicast."},
	{Name: "metronome_proxy_unsent_frames_total", Help: "Frames the kernel did not take."},
	{Name: "metronome_proxy_waiting_ops", Help: "Operations that wait for the loop."},
	{Name: "metronome_lane_items_total", Help: "Items taken.", Labels: []string{"lane"}},
	{Name: "metronome_lane_committed_items_total", Help: "Items agreed.", Labels: []string{"lane"}},
	{Name: "metronome_lane_answered_items_total", Help: "Items answered.", Labels: []string{"lane"}},
	{Name: "metronome_lane_window_frames", Help: "Frames kept for repair.", Labels: []string{"lane"}},
	{Name: "metronome_lane_repairs_total", Help: "Frames sent again, by path.", Labels: []string{"lane", "path"}},
	{Name: "metronome_loop_turns_total", Help: "Turns of the poll loop."},
	keyState, keyRefused, keyNeeded,
}

// Register adds the proxy's metrics and health to its ops server.
func (p *Proxy) Register(s *ops.Server) error {
	s.Ready(func() []ops.Reason {
		if !p.View().Core.Open {
			return []ops.Reason{{Code: "no_lanes", Text: "no replica has opened lanes yet: is the cluster founded, and a majority up?"}}
		}
		return nil
	})
	s.Live(func() []ops.Reason {
		if err := p.View().Failed; err != nil {
			return []ops.Reason{{Code: "fenced", Text: err.Error()}}
		}
		return nil
	})
	return register(s, proxyTable, p.emit, p.net)
}

func (p *Proxy) emit(emit ops.Emit) {
	view := p.View()
	v := &view.Core
	for _, m := range []struct {
		name  string
		value float64
	}{
		{"metronome_proxy_open", number(v.Open)},
		{"metronome_proxy_incarnation", float64(v.Incarnation)},
		{"metronome_proxy_refounded_total", float64(v.Counters.Refounded)},
		{"metronome_proxy_taken_ops_total", float64(v.Counters.Taken)},
		{"metronome_proxy_busy_ops_total", float64(v.Counters.Busy)},
		{"metronome_proxy_hedges_total", float64(v.Counters.Hedges)},
		{"metronome_proxy_reissued_reads_total", float64(v.Counters.Reissued)},
		{"metronome_proxy_nacks_total", float64(v.Counters.Nacks)},
		{"metronome_proxy_sent_frames_total", float64(view.Sent.TxFrames)},
		{"metronome_proxy_sent_bytes_total", float64(view.Sent.TxBytes)},
		{"metronome_proxy_unsent_frames_total", float64(view.Full)},
		{"metronome_proxy_waiting_ops", float64(view.Waiting)},
		{"metronome_loop_turns_total", float64(view.Loops)},
	} {
		emit(m.name, m.value)
	}
	emitKeys(view.Ring, &v.Counters.BadKeys, v.Keys, emit)
	for i := range v.Lanes {
		l := &v.Lanes[i]
		id := strconv.Itoa(i)
		emit("metronome_lane_items_total", float64(l.Items), id)
		emit("metronome_lane_committed_items_total", float64(l.Committed), id)
		emit("metronome_lane_answered_items_total", float64(l.Answered), id)
		emit("metronome_lane_window_frames", float64(l.Window.To-l.Window.From), id)
		emit("metronome_lane_repairs_total", float64(l.Repairs.Unicast), id, "unicast")
		emit("metronome_lane_repairs_total", float64(l.Repairs.Multicast), id, "multicast")
	}
}
