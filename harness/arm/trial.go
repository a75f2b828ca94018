package arm

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/load"
	"metronome/harness/probe"
	"metronome/harness/record"
	"metronome/system/bench"
	"metronome/system/packet/ethernet"
	"metronome/system/wire"
)

// Ask is what a trial offers.
type Ask struct {
	FPS    float64 // frames/s over all lanes; 0 = as many as the generator can
	Window time.Duration
}

// FlagUnmerged marks a trial of a GRO arm in which the kernel merged fewer than 1.5 datagrams a
// buffer: it shows nothing about GRO.
const FlagUnmerged = "gro_unmerged"

const leastMerged = 1.5

// Grace is how long after the window a frame may still come through and count as accepted.
const Grace = 10 * time.Millisecond

// programBytes is what a receiver may hold besides the buffers it states: Go's runtime, the program,
// DPDK's libraries, drivers and heap. The one binary also holds what edges and backups need.
const programBytes = 64 << 20

// lead is how long before its window a trial is announced: the XDP generator needs some 50 ms to
// get going. After a trial for which that was too short it is longer.
func (s *Session) lead() time.Duration {
	if s.arm.Wire == Veth {
		return 90*time.Millisecond + s.behind
	}
	return 50*time.Millisecond + s.behind
}

// mostBehind bounds how much earlier trials are announced on a busy machine.
const mostBehind = time.Second

func monotonic() int64 {
	var ts unix.Timespec
	// CLOCK_MONOTONIC always exists.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

func sleepUntil(ctx context.Context, ns int64) error {
	t := time.NewTimer(time.Duration(ns - monotonic()))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Trial offers one rate for one window and returns the row, without the columns that say which
// trial of which run it was. A row that cannot be trusted comes back void, with its reason; an
// error means that the session is broken.
func (s *Session) Trial(ctx context.Context, ask Ask) (record.Trial, error) {
	e := s.env
	e.incarnation++
	start := monotonic() + int64(s.lead())
	end := start + int64(ask.Window)
	deadline := end + int64(Grace)
	if err := s.gen.run(load.Run{RateFPS: ask.FPS, StartNS: start, DurationNS: int64(ask.Window),
		Incarnation: e.incarnation}); err != nil {
		return record.Trial{}, err
	}
	if err := s.dut.arm(e.incarnation, deadline); err != nil {
		return record.Trial{}, err
	}
	armed, err := s.probe() // before the first frame: the kernel's counters must not miss one
	if err != nil {
		return record.Trial{}, err
	}
	late := monotonic() - start
	if err := sleepUntil(ctx, start); err != nil {
		return record.Trial{}, err
	}
	before, err := s.probe()
	if err != nil {
		return record.Trial{}, err
	}
	if err := sleepUntil(ctx, deadline); err != nil {
		return record.Trial{}, err
	}
	after, err := s.probe()
	if err != nil {
		return record.Trial{}, err
	}
	done, err := s.gen.done(answerLimit)
	if err != nil {
		return record.Trial{}, err
	}
	time.Sleep(settle)
	report, err := s.dut.report()
	if err != nil {
		return record.Trial{}, err
	}
	drained, err := s.probe() // the kernel's counters once everything has arrived
	if err != nil {
		return record.Trial{}, err
	}
	m := measured{ask: ask, done: done, report: report, cost: probe.Between(before, after),
		path: probe.Between(armed, drained), window: ask.Window}
	row := s.row(m)
	if late > 0 {
		s.behind = min(2*s.behind+2*time.Duration(late), mostBehind)
		void(&row, fmt.Sprintf("the harness was ready %s after the window opened", time.Duration(late)))
	}
	return row, nil
}

// measured is everything read in one trial.
type measured struct {
	ask    Ask
	done   load.Done
	report bench.Report
	cost   probe.Delta // the window and its grace
	path   probe.Delta // until the drain ended
	window time.Duration
}

func (s *Session) probe() (probe.Snapshot, error) {
	t := probe.Target{Processes: []int{s.dut.pid(), s.gen.pid(), os.Getpid()}}
	if s.hasNAPI {
		t.Threads = []int{s.napi.TID}
		t.ProcNet = s.env.link.Dut.Netns.ProcNet()
		t.Devices = []*probe.Device{s.env.rxDevice}
	}
	snap, err := probe.Read(t)
	if err != nil {
		return snap, fmt.Errorf("probe the trial: %w", err)
	}
	return snap, nil
}

func void(t *record.Trial, reason string) {
	t.Status = record.StatusVoid
	if t.Reason == "" {
		t.Reason = reason
	}
}

// Describe fills the columns that are known before a trial: the cell and where things run.
func (s *Session) Describe(t *record.Trial) {
	f, e := s.factors, s.env
	t.Arm, t.Placement = s.arm.Name, s.placement
	t.ItemBytes = f.KeyBytes + f.ValueBytes
	t.ItemWireBytes = wire.ItemHeader + t.ItemBytes
	t.ItemsPerFrame = f.Items
	t.FrameBytes = f.Shape().FrameBytes()
	t.EthernetBytes = t.FrameBytes + ethernet.HeaderBytes
	t.Burst, t.Digest, t.Hugepages, t.Lanes = f.Burst, f.Mode.String(), f.Hugepages, f.Lanes
	t.RxCore, t.GenCore, t.NAPIPolicy = e.RxCore, e.GenCore, "none"
	if s.hasNAPI {
		t.NAPICore, t.NAPIPriority = s.napi.Core, s.napi.Priority
		t.NAPIPolicy = strings.ToLower(strings.TrimPrefix(s.napi.Policy, "SCHED_"))
	}
	if s.dut != nil {
		r := s.dut.ready()
		t.RingFrames, t.BufferBytes = r.RingFrames, r.BufferBytes
		if r.BoundBytes > 0 {
			t.MemBoundBytes = float64(r.BoundBytes + programBytes)
		}
	}
}

func (s *Session) row(m measured) record.Trial {
	t := record.NewTrial()
	s.Describe(&t)
	t.Status = record.StatusOK
	t.OfferedFPS, t.WindowNS = m.ask.FPS, int64(m.window)
	t.EmittedFrames, t.SlotsMissed, t.RingFullFrames = m.done.Emitted, m.done.SlotsMissed, m.done.RingFull
	s.pipelineColumns(&t, m)
	s.pathColumns(&t, m)
	s.costColumns(&t, m)
	t.Derive()
	if err := t.Balance(); err != nil {
		void(&t, err.Error())
	}
	if s.arm.GRO && t.SegmentsPerSKB < leastMerged {
		t.Flags = joinFlags(t.Flags, FlagUnmerged)
	}
	if t.EmittedFrames == 0 {
		void(&t, "the generator sent nothing")
	}
	return t
}

func (s *Session) pipelineColumns(t *record.Trial, m measured) {
	at, final := m.report.AtDeadline, m.report.Final
	t.ArrivedFrames = final.Frames
	t.AcceptedFrames = at.Released
	t.AcceptedItems = at.Released * uint64(s.factors.Items)
	t.LateFrames = final.Released - at.Released
	t.QueuedFrames = final.Queued
	t.DuplicateFrames, t.RefusedFrames = final.Duplicate, final.Refused
	b := final.Bad
	t.Bad = record.BadFrames{Short: b["short"], Magic: b["magic"], Version: b["version"],
		Cluster: b["cluster"], Mode: b["mode"], Length: b["length"], Digest: b["digest"], Type: b["type"],
		Payload: b["payload"], Item: b["item"], Lane: b["lane"]}
	if at.Polls > 0 {
		t.BusyShare = 1 - float64(at.Empty)/float64(at.Polls)
	}
	if final.RxSegs > 0 {
		t.SegmentsPerSKB = float64(final.Frames) / float64(final.RxSegs)
	}
	if !s.arm.Testpmd {
		t.AllocsPerFrame = float64(m.report.Mallocs) / math.Max(1, float64(at.Frames))
	}
}

// pathColumns says where frames were lost before the pipeline.
func (s *Session) pathColumns(t *record.Trial, m measured) {
	n, final := m.path.Net, m.report.Final
	t.DeviceErrors = final.RxErrors
	if s.arm.Wire != Memif {
		t.UDPCsumErrors = final.RxBadUDP
	}
	lost := int64(t.EmittedFrames) - int64(t.RingFullFrames) - int64(t.Pipeline()) - int64(final.RxErrors) -
		int64(final.RxBadUDP)
	switch {
	case s.arm.kernelUDP():
		t.IPHdrErrors = n.IPHeader + n.IPTruncated + n.IPAddress + n.IPDiscarded
		t.UDPCsumErrors, t.UDPNoPorts = n.UDPChecksum, n.UDPNoPort+n.UDPIgnored
		t.UDPRcvbufErrors = n.UDPRcvbuf + n.UDPMemory
		s.mergedDrops(t, lost)
	case s.arm.Wire == Loopback:
		t.UDPRcvbufErrors = final.RxDropped
		s.mergedDrops(t, lost)
	case s.arm.Wire == Veth:
		s.deviceDrops(t, m, lost)
	}
}

// kernelUDP reports whether the kernel's UDP delivers the arm's frames, so that its counters
// account for losses.
func (a Arm) kernelUDP() bool { return a.Wire == Veth && a.Leans[checksum] != "" && !a.packetSocket() }

func (a Arm) packetSocket() bool { return strings.Contains(a.Name, "af_packet") }

// mergedDrops corrects the count of dropped buffers to one of frames where a buffer holds many:
// under GRO, the kernel counts a dropped buffer once. What is missing must then be between one and
// 64 frames a buffer.
func (s *Session) mergedDrops(t *record.Trial, lost int64) {
	if !s.arm.GRO {
		return
	}
	buffers := int64(t.UDPRcvbufErrors)
	lost -= int64(t.IPHdrErrors + t.UDPCsumErrors + t.UDPNoPorts)
	if lost >= buffers && lost <= buffers*64 {
		t.UDPRcvbufErrors = uint64(lost)
		t.Flags = joinFlags(t.Flags, "merged_drops")
	}
}

// deviceDrops accounts for ports below the kernel's UDP: the port's own counter, and the device's.
func (s *Session) deviceDrops(t *record.Trial, m measured, lost int64) {
	own := m.report.Final.RxDropped
	veth := m.path.Devices[s.env.link.Dut.Device].Veth()
	if s.arm.Name == "dpdk-af_xdp" { // one frame that finds the XDP socket's ring full is counted at both
		t.DeviceDropped = max(own, veth.XDPDropped+veth.Dropped)
		return
	}
	t.DeviceDropped = own + veth.XDPDropped + veth.Dropped
	// DPDK's AF_PACKET driver does not read its socket's drop counter: whatever the veth handed on and
	// the driver did not return was dropped at its ring.
	if s.arm.Name == "dpdk-af_packet" && t.DeviceDropped == 0 && lost > 0 {
		t.DeviceDropped = uint64(lost)
		t.Flags = joinFlags(t.Flags, "drops_inferred")
	}
}

func joinFlags(flags, more string) string {
	if flags == "" {
		return more
	}
	return flags + ";" + more
}

func (s *Session) costColumns(t *record.Trial, m measured) {
	d, dut := m.cost, s.dut.pid()
	t.CPUNSRxThreads = float64(d.Clock[dut])
	t.CPUNSNAPI = 0
	if s.hasNAPI {
		t.CPUNSNAPI = float64(d.ThreadNS(s.napi.TID))
	}
	t.GenCPUNS, t.LabCPUNS = float64(d.Clock[s.gen.pid()]), float64(d.Clock[os.Getpid()])
	rx := d.Core(s.env.RxCore)
	if total := float64(rx.Total()); total > 0 {
		t.SampledUserShare = float64(rx.User+rx.Nice) / total
		t.SampledSysShare = float64(rx.System) / total
		t.SampledSoftirqShare = float64(rx.SoftIRQ+rx.IRQ) / total
	}
	t.StealRatio = d.Core(s.env.RxCore, s.env.GenCore).StealRatio()
	mem, info := d.Memory[dut], s.dut.ready()
	// Memory shared with the kernel or the peer is resident too: a column of its own, it leaves the
	// other.
	t.MemUMEMBytes = math.Min(float64(info.UMEMBytes), float64(mem.Peak))
	t.MemVMHWMBytes = float64(mem.Peak) - t.MemUMEMBytes
	t.MemHugeBytes = float64(mem.Hugepages)
	t.MemSocketBytes = float64(m.report.HeldBytes)
}
