package recovery

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"metronome/harness/factorial"
	"metronome/system/packet"
)

// Driver is the driver of experiments/recovery.
type Driver struct{}

// Open implements [factorial.Driver]. Clusters are a trial's own.
func (Driver) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	s := session{binary: filepath.Join(env.Bin, "metronome"), dir: env.Dir, logs: env.Logs}
	if _, err := os.Stat(s.binary); err != nil {
		return nil, &packet.ErrUnavailable{What: "metronome", Why: "it is not built: " + err.Error(),
			Next: "make build"}
	}
	return s, nil
}

type session struct{ binary, dir, logs string }

// Close implements [factorial.Session].
func (session) Close() error { return nil }

// measure is how one arm is measured.
type measure func(ctx context.Context, set Setting, c factorial.Cell) (factorial.Outcome, error)

var measures = map[string]measure{
	"restart-one": restart(RestartOne),
	"restart-all": restart(RestartAll),
	"snapshots":   snapshots,
	"overwrite":   overwrite,
	"transfer":    transfer,
	"beside":      beside,
}

// Trial implements [factorial.Session].
func (s session) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	kind, err := c.Get("measure")
	if err != nil {
		return o, err
	}
	m := measures[kind]
	if m == nil {
		return o, fmt.Errorf("arm %s: nothing is called measure=%s", c.Arm, kind)
	}
	set := Setting{Binary: s.binary, Seed: c.Seed, Dir: filepath.Join(s.dir, "cluster"),
		Logs: filepath.Join(s.logs, c.Folder())}
	if err := os.RemoveAll(set.Logs); err != nil { // of an attempt before
		return o, fmt.Errorf("old logs: %w", err)
	}
	if set.Keys, err = c.Int("keys"); err != nil {
		return o, err
	}
	if set.Value, err = c.Int("value_bytes"); err != nil {
		return o, err
	}
	mib, err := c.Int("journal_mib")
	set.Journal = int64(mib) << 20
	if err != nil {
		return o, err
	}
	return m(ctx, set, c)
}

func restart(of func(context.Context, Setting) (Restart, error)) measure {
	return func(ctx context.Context, set Setting, _ factorial.Cell) (o factorial.Outcome, err error) {
		r, err := of(ctx, set)
		o.Values = map[string]float64{"serving_s": r.ServingS, "keys_held": r.Keys, "journal_bytes": r.JournalBytes,
			"snapshot_bytes": r.SnapshotBytes}
		return o, err
	}
}

// never is a journal at whose half no load here arrives.
const never = 1 << 39

func snapshots(ctx context.Context, set Setting, c factorial.Cell) (o factorial.Outcome, err error) {
	rate, err := c.Float("rate_ops")
	if err != nil {
		return o, err
	}
	without := set
	without.Journal = never
	without.Logs += "-without"
	with := c.Seed%2 == 0 // which is measured first
	var r [2]Snapshots
	for range r {
		if with {
			r[1], err = TakeSnapshots(ctx, set, rate, c.Length)
		} else {
			r[0], err = TakeSnapshots(ctx, without, rate, c.Length)
		}
		if err != nil {
			return o, err
		}
		with = !with
	}
	if r[1].Taken == 0 {
		o.Void = "no snapshot was taken: use a smaller journal, or a longer trial"
	}
	if r[0].Taken > 0 {
		o.Void = "a snapshot was taken where none was to be"
	}
	o.Values = map[string]float64{
		"p50_ms": r[1].P50, "p999_ms": r[1].P999, "p9999_ms": r[1].P9999, "max_ms": r[1].Max,
		"p50_without_ms": r[0].P50, "p999_without_ms": r[0].P999, "p9999_without_ms": r[0].P9999,
		"max_without_ms": r[0].Max, "added_p9999_ms": max(0, r[1].P9999-r[0].P9999),
		"snapshots": r[1].Taken, "puts_per_s": r[1].Rate}
	return o, nil
}

func overwrite(ctx context.Context, set Setting, c factorial.Cell) (o factorial.Outcome, err error) {
	r, err := Overwriting(ctx, set, c.Length)
	o.Values = map[string]float64{"disk_over_bound": r.OverBound, "live_bytes": r.LiveBytes,
		"disk_most_bytes": r.MostBytes, "written_bytes": r.Written, "snapshots": r.Snapshots}
	for _, m := range r.Moments {
		o.Timeline = append(o.Timeline, factorial.Point{Series: "MiB", X: m.AtS, Y: m.Bytes / (1 << 20)})
	}
	if err == nil && r.Snapshots == 0 {
		o.Void = "no snapshot was taken: use a smaller journal, or a longer trial"
	}
	return o, err
}

func transfer(ctx context.Context, set Setting, _ factorial.Cell) (o factorial.Outcome, err error) {
	r, err := TransferIdle(ctx, set)
	o.Values = r.values()
	o.Values["copy_s"], o.Values["over_copy"] = r.CopyS, r.OverCopy
	return o, err
}

func (r *Transfer) values() map[string]float64 {
	return map[string]float64{"snapshot_bytes": r.Bytes, "prepared_s": r.PreparedS, "arrived_s": r.ArrivedS,
		"votes_s": r.VotesS}
}

func beside(ctx context.Context, set Setting, c factorial.Cell) (o factorial.Outcome, err error) {
	rate, err := c.Float("load_ops")
	if err != nil {
		return o, err
	}
	r, err := TransferBeside(ctx, set, rate, max(c.Length, time.Second))
	o.Values = r.values()
	if err == nil && math.IsNaN(r.VotesS) {
		o.Flags = append(o.Flags, "did-not-catch-up")
	}
	o.Values["before_per_s"], o.Values["during_per_s"], o.Values["kept"] = r.Before, r.During, r.Kept
	return o, err
}
