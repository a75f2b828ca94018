package record

import "slices"

// tcol is a column of trials.csv.
type tcol = Column[Trial]

// Trials is the schema of trials.csv.
func Trials() Table[Trial] {
	return Table[Trial]{
		File: "trials.csv",
		Doc: "One row a trial: one arm, offered one rate, for one window. Rows appear in the order " +
			"in which the trials ran; a trial that was repeated has a row an attempt.",
		Columns: slices.Concat(identityColumns(), workloadColumns(), placementColumns(),
			offeredColumns(), lostColumns(), badColumns(), acceptedColumns(), rateColumns(),
			cpuColumns(), memoryColumns(), verdictColumns()),
		ran: (*Trial).Ran,
	}
}

func identityColumns() []tcol {
	return []tcol{
		{Name: "experiment", Doc: "Name of the experiment.",
			Field: func(t *Trial) any { return &t.Experiment }},
		{Name: "run_id", Doc: "UTC start, commit and declaration of the run, as above.",
			Field: func(t *Trial) any { return &t.RunID }},
		{Name: "block", Doc: "Randomised block; ratios are formed within a block. 0 in the search.",
			Field: func(t *Trial) any { return &t.Block }},
		{Name: "arm", Doc: "The implementation that received.",
			Field: func(t *Trial) any { return &t.Arm }},
		{Name: "placement",
			Doc:   "Core of the kernel's half: same = the receiver's, other = the generator's.",
			Field: func(t *Trial) any { return &t.Placement }},
		{Name: "cell", Doc: "The factors in canonical order; equal strings are equal cells.",
			Field: func(t *Trial) any { return &t.Cell }},
		{Name: "role", Doc: "Why the trial ran: search, bracket (a fixed rate near the loss-free one), " +
			"overload (1.5 × it), max (all the generator has), ceiling (a reference program), " +
			"aa (noise floor).",
			Field: func(t *Trial) any { return &t.Role }},
		{Name: "repeat", Doc: "Running number among equal trials.",
			Field: func(t *Trial) any { return &t.Repeat }},
		{Name: "attempt", Doc: "1, or more if the trial was repeated: the flags of the one before say what " +
			"took the cores away (steal, contended).",
			Field: func(t *Trial) any { return &t.Attempt }},
		{Name: "seed", Doc: "hash(seed of the run, cell, repeat).",
			Field: func(t *Trial) any { return &t.Seed }},
	}
}

func workloadColumns() []tcol {
	return []tcol{
		{Name: "item_bytes", Unit: "bytes", Doc: "Key and value of one item.",
			Field: func(t *Trial) any { return &t.ItemBytes }},
		{Name: "item_wire_bytes", Unit: "bytes", Doc: "One item with its header.",
			Field: func(t *Trial) any { return &t.ItemWireBytes }},
		{Name: "items_per_frame", Unit: "items", Doc: "Items in every frame.",
			Field: func(t *Trial) any { return &t.ItemsPerFrame }},
		{Name: "frame_bytes", Unit: "bytes", Doc: "One frame: the UDP payload.",
			Field: func(t *Trial) any { return &t.FrameBytes }},
		{Name: "ethernet_bytes", Unit: "bytes",
			Doc:   "One frame with Ethernet, IPv4 and UDP headers, without FCS.",
			Field: func(t *Trial) any { return &t.EthernetBytes }},
		{Name: "burst", Unit: "frames", Doc: "Most frames one receive call may return.",
			Field: func(t *Trial) any { return &t.Burst }},
		{Name: "digest", Doc: "Integrity digest of the frames: xxh3, crc32c, mac, aead or none.",
			Field: func(t *Trial) any { return &t.Digest }},
		{Name: "hugepages", Doc: "Whether the receiver's packet memory lies in hugepages.",
			Field: func(t *Trial) any { return &t.Hugepages }},
		{Name: "lanes", Doc: "Lanes sent, each with its own 5-tuple.",
			Field: func(t *Trial) any { return &t.Lanes }},
	}
}

func placementColumns() []tcol {
	return []tcol{
		{Name: "ring_frames", Unit: "frames", Doc: "Slots of the receive ring, summed over queues.",
			Field: func(t *Trial) any { return &t.RingFrames }},
		{Name: "buffer_bytes", Unit: "bytes", Doc: "Effective socket receive buffer; 0 without one.",
			Field: func(t *Trial) any { return &t.BufferBytes }},
		{Name: "napi_policy", Doc: "Scheduling policy of the NAPI thread: other, fifo; none without one.",
			Field: func(t *Trial) any { return &t.NAPIPolicy }},
		{Name: "napi_priority", Doc: "Its real-time priority.",
			Field: func(t *Trial) any { return &t.NAPIPriority }},
		{Name: "napi_core", Doc: "CPU of the NAPI thread; -1 without one.",
			Field: func(t *Trial) any { return &t.NAPICore }},
		{Name: "rx_core", Doc: "CPU of the receiving thread.",
			Field: func(t *Trial) any { return &t.RxCore }},
		{Name: "gen_core", Doc: "CPU of the generator.",
			Field: func(t *Trial) any { return &t.GenCore }},
	}
}

func offeredColumns() []tcol {
	return []tcol{
		{Name: "offered_fps", Unit: "frames/s", Doc: "The rate asked for; 0 = as fast as possible.",
			Field: func(t *Trial) any { return &t.OfferedFPS }},
		{Name: "window_ns", Unit: "ns", Doc: "Length of the send window.",
			Field: func(t *Trial) any { return &t.WindowNS }, Measured: true},
		{Name: "emitted_frames", Unit: "frames",
			Doc:   "Frames the generator sent in the window, taken or not.",
			Field: func(t *Trial) any { return &t.EmittedFrames }, Measured: true},
		{Name: "slots_missed", Unit: "frames",
			Doc:   "Frames the generator was too late to send; not emitted, not lost.",
			Field: func(t *Trial) any { return &t.SlotsMissed }, Measured: true},
		{Name: "offered_actual_fps", Unit: "frames/s", Doc: "emitted_frames ÷ window.",
			Field: func(t *Trial) any { return &t.OfferedActualFPS }, Measured: true},
		{Name: "generator_limited",
			Doc:   "The generator could not offer 1.5 × what the arm took; the row is censored.",
			Field: func(t *Trial) any { return &t.GeneratorLimited }, Measured: true},
		{Name: "arrived_frames", Unit: "frames", Doc: "Frames the port handed to the pipeline.",
			Field: func(t *Trial) any { return &t.ArrivedFrames }, Measured: true},
	}
}

// frames returns a measured column of frame counts.
func frames(name, doc string, field func(*Trial) any) tcol {
	return tcol{Name: name, Unit: "frames", Doc: doc, Measured: true, Field: field}
}

func lostColumns() []tcol {
	return []tcol{
		frames("ring_full_frames", "Lost: the wire's ring was full at the frame's slot.",
			func(t *Trial) any { return &t.RingFullFrames }),
		frames("device_dropped", "Lost: the receiving device or queue had no buffer.",
			func(t *Trial) any { return &t.DeviceDropped }),
		frames("device_errors", "Lost: the device discarded it as damaged.",
			func(t *Trial) any { return &t.DeviceErrors }),
		frames("ip_hdr_errors", "Lost: the kernel found a bad IPv4 header.",
			func(t *Trial) any { return &t.IPHdrErrors }),
		frames("udp_csum_errors", "Lost: the kernel found a bad UDP checksum.",
			func(t *Trial) any { return &t.UDPCsumErrors }),
		frames("udp_no_ports", "Lost: nobody listened.",
			func(t *Trial) any { return &t.UDPNoPorts }),
		frames("udp_rcvbuf_errors", "Lost: the socket buffer was full.",
			func(t *Trial) any { return &t.UDPRcvbufErrors }),
		frames("foreign", "Not addressed to the port's group and port number.",
			func(t *Trial) any { return &t.Foreign }),
		frames("backlog_frames", "Lost: still in a socket buffer or ring when the drain ended.",
			func(t *Trial) any { return &t.BacklogFrames }),
	}
}

func badColumns() []tcol {
	return []tcol{
		frames("bad_short", "Discarded: shorter than a header.",
			func(t *Trial) any { return &t.Bad.Short }),
		frames("bad_magic", "Discarded: not a frame of ours.",
			func(t *Trial) any { return &t.Bad.Magic }),
		frames("bad_version", "Discarded: another version of the format.",
			func(t *Trial) any { return &t.Bad.Version }),
		frames("bad_cluster", "Discarded: another cluster's.",
			func(t *Trial) any { return &t.Bad.Cluster }),
		frames("bad_mode", "Discarded: another digest mode.",
			func(t *Trial) any { return &t.Bad.Mode }),
		frames("bad_length", "Discarded: lengths contradict each other.",
			func(t *Trial) any { return &t.Bad.Length }),
		frames("bad_digest", "Discarded: the header's digest is wrong.",
			func(t *Trial) any { return &t.Bad.Digest }),
		frames("bad_type", "Discarded: an unknown frame type.",
			func(t *Trial) any { return &t.Bad.Type }),
		frames("bad_payload", "Discarded: the payload's hash is wrong.",
			func(t *Trial) any { return &t.Bad.Payload }),
		frames("bad_item", "Discarded: an item header is out of bounds.",
			func(t *Trial) any { return &t.Bad.Item }),
		frames("bad_lane", "Discarded: an unknown lane.",
			func(t *Trial) any { return &t.Bad.Lane }),
	}
}

func acceptedColumns() []tcol {
	return []tcol{
		frames("duplicate_frames", "Discarded: seen before.",
			func(t *Trial) any { return &t.DuplicateFrames }),
		frames("refused_frames", "Discarded: the lane's arena was full.",
			func(t *Trial) any { return &t.RefusedFrames }),
		frames("accepted_frames", "Through the pipeline by the end of the window + 10 ms.",
			func(t *Trial) any { return &t.AcceptedFrames }),
		{Name: "accepted_items", Unit: "items", Doc: "Items in the accepted frames.", Measured: true,
			Field: func(t *Trial) any { return &t.AcceptedItems }},
		frames("late_frames", "Through the pipeline after that, and so lost; not among the accepted.",
			func(t *Trial) any { return &t.LateFrames }),
		frames("queued_frames", "In the arena behind a gap when the drain ended, and so lost.",
			func(t *Trial) any { return &t.QueuedFrames }),
		frames("unaccounted_frames", "Emitted minus all of the above causes; not 0 voids the trial.",
			func(t *Trial) any { return &t.UnaccountedFrames }),
	}
}

func rateColumns() []tcol {
	return []tcol{
		{Name: "goodput_fps", Unit: "frames/s", Doc: "accepted_frames ÷ window.", Measured: true,
			Field: func(t *Trial) any { return &t.GoodputFPS }},
		{Name: "goodput_ips", Unit: "items/s", Doc: "accepted_items ÷ window.", Measured: true,
			Field: func(t *Trial) any { return &t.GoodputIPS }},
		{Name: "loss_ratio", Doc: "1 − accepted_frames ÷ emitted_frames.", Measured: true,
			Field: func(t *Trial) any { return &t.LossRatio }},
		{Name: "loss_free", Doc: "Whether loss_ratio ≤ 0.005.", Measured: true,
			Field: func(t *Trial) any { return &t.LossFree }},
		{Name: "zero_loss", Doc: "Whether loss_ratio = 0.", Measured: true,
			Field: func(t *Trial) any { return &t.ZeroLoss }},
	}
}

func cpuColumns() []tcol {
	return []tcol{
		{Name: "cpu_ns_rx_threads", Unit: "ns",
			Doc:      "CPU time of the receiving process, all threads (its CPU clock).",
			Measured: true, Field: func(t *Trial) any { return &t.CPUNSRxThreads }},
		{Name: "cpu_ns_napi", Unit: "ns",
			Doc:      "CPU time of the NAPI kernel thread (schedstat); 0 without one.",
			Measured: true, Field: func(t *Trial) any { return &t.CPUNSNAPI }},
		{Name: "cpu_ns_per_item", Unit: "ns/item", Doc: "The two above ÷ accepted_items.",
			Measured: true, Field: func(t *Trial) any { return &t.CPUNSPerItem }},
		{Name: "cpu_ns_per_frame", Unit: "ns/frame", Doc: "The two above ÷ accepted_frames.",
			Measured: true, Field: func(t *Trial) any { return &t.CPUNSPerFrame }},
		{Name: "busy_share",
			Doc:      "Share of receive calls that returned a frame: what a poller's 100 % CPU hides.",
			Measured: true, Field: func(t *Trial) any { return &t.BusyShare }},
		{Name: "sampled_user_share", Doc: "Share of the receive core's ticks in user mode; a sample.",
			Measured: true, Field: func(t *Trial) any { return &t.SampledUserShare }},
		{Name: "sampled_sys_share", Doc: "Same, in the kernel; a sample.",
			Measured: true, Field: func(t *Trial) any { return &t.SampledSysShare }},
		{Name: "sampled_softirq_share", Doc: "Same, in software interrupts; a sample.",
			Measured: true, Field: func(t *Trial) any { return &t.SampledSoftirqShare }},
		{Name: "gen_cpu_ns", Unit: "ns", Doc: "CPU time of the generator.",
			Measured: true, Field: func(t *Trial) any { return &t.GenCPUNS }},
		{Name: "lab_cpu_ns", Unit: "ns", Doc: "CPU time of the program that ran the experiment.",
			Measured: true, Field: func(t *Trial) any { return &t.LabCPUNS }},
	}
}

func memoryColumns() []tcol {
	return []tcol{
		{Name: "mem_vmhwm_bytes", Unit: "bytes",
			Doc:      "Largest resident set of the receiver (VmHWM), without hugepages and UMEM.",
			Measured: true, Field: func(t *Trial) any { return &t.MemVMHWMBytes }},
		{Name: "mem_hugepages_bytes", Unit: "bytes", Doc: "Hugepages it mapped (HugetlbPages).",
			Measured: true, Field: func(t *Trial) any { return &t.MemHugeBytes }},
		{Name: "mem_socket_bytes", Unit: "bytes",
			Doc:      "Kernel memory of its sockets at most (SO_MEMINFO, packet rings).",
			Measured: true, Field: func(t *Trial) any { return &t.MemSocketBytes }},
		{Name: "mem_umem_bytes", Unit: "bytes",
			Doc:      "Packet memory shared with the kernel (AF_XDP, AF_PACKET) or the peer (memif).",
			Measured: true, Field: func(t *Trial) any { return &t.MemUMEMBytes }},
		{Name: "mem_bound_bytes", Unit: "bytes",
			Doc:      "What bounds the sum of the four: the configured buffers, and 40 MiB for the program.",
			Measured: true, Field: func(t *Trial) any { return &t.MemBoundBytes }},
	}
}

func verdictColumns() []tcol {
	return []tcol{
		{Name: "segments_per_skb", Doc: "Datagrams in one kernel buffer under GRO; 1 elsewhere.",
			Measured: true, Field: func(t *Trial) any { return &t.SegmentsPerSKB }},
		{Name: "allocs_per_frame", Unit: "1/frame", Doc: "Heap objects the receiver allocated per frame.",
			Measured: true, Field: func(t *Trial) any { return &t.AllocsPerFrame }},
		{Name: "steal_ratio",
			Doc:      "Share of CPU time the hypervisor took; above 0.01 the trial is repeated.",
			Measured: true, Field: func(t *Trial) any { return &t.StealRatio }},
		{Name: "status",
			Doc:   "ok; void (a guard failed); unavailable (could not run here); partial (interrupted).",
			Field: func(t *Trial) any { return &t.Status }},
		{Name: "flags", Doc: "Remarks joined by semicolons, such as generator-limited.",
			Field: func(t *Trial) any { return &t.Flags }},
		{Name: "reason", Doc: "Why the status is not ok.",
			Field: func(t *Trial) any { return &t.Reason }},
	}
}
