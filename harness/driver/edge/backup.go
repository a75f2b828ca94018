package edge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"metronome/harness/driver/edgeproc"
	"metronome/harness/factorial"
	"metronome/system/packet"
)

// Backup is the driver of experiments/edge-backup.
type Backup struct {
	Program string // metronome; "" = the one in Env.Bin
}

// Open implements [factorial.Driver]. Loaded edges and their masters are a trial's own; filled stores, which
// are restored and changed, stay up to the end.
func (d Backup) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	s := &backupSession{program: d.Program, dir: env.Dir, logs: env.Logs, filled: map[string]*bed{}}
	if s.program == "" {
		s.program = filepath.Join(env.Bin, "metronome")
	}
	if _, err := os.Stat(s.program); err != nil {
		return nil, &packet.ErrUnavailable{What: "metronome", Why: "it is not built: " + err.Error(),
			Next: "make build"}
	}
	return s, nil
}

type backupSession struct {
	program, dir, logs string
	beds               int
	filled             map[string]*bed // by what they hold
}

// Trial implements [factorial.Session].
func (s *backupSession) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	kind, err := c.Get("measure")
	if err != nil {
		return o, err
	}
	switch kind {
	case "alone":
		return s.shipping(ctx, c, false)
	case "shipping":
		return s.shipping(ctx, c, true)
	case "exposure":
		return s.exposure(ctx, c)
	case "restore":
		return s.restore(ctx, c)
	case "increment":
		return s.increment(ctx, c)
	}
	return o, fmt.Errorf("arm %s: nothing is called measure=%s", c.Arm, kind)
}

// Close implements [factorial.Session].
func (s *backupSession) Close() (err error) {
	for _, b := range s.filled {
		err = errors.Join(err, b.close())
	}
	s.filled = map[string]*bed{}
	return err
}

// bed is an edge in a folder of its own and, unless it is to do without, its master.
type bed struct {
	program, dir, logs string
	master             *edgeproc.Master // nil: none
	edge               *edgeproc.Edge   // nil: it does not run
	items              int              // in a filled store
}

func (s *backupSession) bed(ctx context.Context, backed bool) (*bed, error) {
	s.beds++
	b := &bed{program: s.program, dir: filepath.Join(s.dir, fmt.Sprint("bed-", s.beds)), logs: s.logs}
	if err := os.MkdirAll(b.dir, 0o700); err != nil || !backed {
		return b, err
	}
	var err error
	b.master, err = edgeproc.StartMaster(ctx, edgeproc.MasterConfig{Command: []string{s.program, "master"},
		Dir: filepath.Join(b.dir, "master"), Log: filepath.Join(b.logs, "master.log")})
	if err == nil {
		err = b.master.Join(ctx, []string{s.program, "edge"}, b.member())
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bed) member() string { return filepath.Join(b.dir, "member") }

// start starts the edge and waits until all that it has is in a backup: from then on, only what changes is
// shipped.
func (b *bed) start(ctx context.Context) (err error) {
	cfg := edgeproc.Config{Command: []string{b.program, "edge"}, Dir: filepath.Join(b.dir, "edge"),
		Log: filepath.Join(b.logs, "edge.log"), CPU: -1}
	if b.master != nil {
		cfg.Flags = []string{"--member", b.member()}
	}
	if b.edge, err = edgeproc.Start(ctx, cfg); err != nil {
		b.edge = nil
		return err
	}
	_, err = b.safe(ctx)
	return err
}

// safeLimit is how long a backup may lag behind an edge that is no longer written to.
const safeLimit = 10 * time.Minute

// safe waits until everything is in a backup, and returns how many bytes this life of the edge has sent.
func (b *bed) safe(ctx context.Context) (sent float64, err error) {
	if b.master == nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, safeLimit, errors.New("no backup has everything"))
	defer cancel()
	for {
		m, err := b.edge.Metrics(ctx)
		if err != nil {
			return 0, errors.Join(err, context.Cause(ctx))
		}
		if m["metronome_edge_backup_checkpoints_total"] > 0 && m["metronome_edge_backup_behind_revisions"] == 0 {
			return m["metronome_edge_backup_bytes_sent_total"], nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// stop stops the edge.
func (b *bed) stop() error {
	if b.edge == nil {
		return nil
	}
	err := b.edge.Stop()
	b.edge = nil
	return err
}

// close ends and removes everything.
func (b *bed) close() error {
	if b.edge != nil {
		b.edge.Kill() // there is nothing to lose
		b.edge = nil
	}
	if b.master != nil {
		b.master.Kill()
		b.master = nil
	}
	return os.RemoveAll(b.dir)
}

// target is the edge under load, and the processes that pay for it, the edge first.
func (b *bed) target() (*httpTarget, []int, error) {
	t, err := targetOf(b.edge)
	pids := []int{b.edge.Pid()}
	if b.master != nil {
		pids = append(pids, b.master.Pid())
	}
	return t, pids, err
}
