package device

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"metronome/system/device/queue"
	"metronome/system/disk"
	"metronome/system/journal"
)

// Report says what Open found.
type Report struct {
	Operations uint64 `json:"operations"` // in the queue's files, finished ones included
	Pending    uint64 `json:"pending"`    // of these, not at the edge
	// Queue and Dead say what the journals found: a torn tail, damage.
	Queue string `json:"queue"`
	Dead  string `json:"dead_letters"`
	// Damaged says that a journal has lost records that it had called durable.
	Damaged bool `json:"damaged,omitempty"`
	// Unknown records are whole and mean nothing to this version.
	Unknown uint64 `json:"unknown,omitempty"`
	// Copied: the directory lies elsewhere than when it was last open, so new operations get a session
	// of their own.
	Copied bool `json:"copied,omitempty"`
	// Anew says that there was no usable identity beside a queue that is not empty: what was sent
	// before may be executed again.
	Anew  bool          `json:"anew,omitempty"`
	Spent time.Duration `json:"spent_ns"`
}

// Open opens the store in Config.Dir, and makes it if there is none. It reads the whole queue once,
// in constant memory. Damage is reported and does not keep it from opening.
func Open(c Config) (*Device, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := c.FS.MkdirAll(c.Dir); err != nil {
		return nil, fmt.Errorf("device: make %s: %w", c.Dir, err)
	}
	lock, err := c.FS.Lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return nil, lockError(c.Dir, err)
	}
	d := &Device{cfg: c, lock: lock, start: start, done: make(chan struct{}), kick: make(chan struct{}, 1),
		waiters: make(map[*waiter]struct{}), room: make(chan struct{}), remote: newRemote(&c)}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.abandon())
	}
	d.report.Spent = time.Since(start)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	go d.run()
	return d, nil
}

func lockError(dir string, err error) error {
	if errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("device: %s is open already: %w. Next: end the other process, or use its store", dir, err)
	}
	return fmt.Errorf("device: lock %s: %w", dir, err)
}

// abandon closes what was opened.
func (d *Device) abandon() error {
	var err error
	for _, c := range []io.Closer{d.closer(d.log), d.closer(d.dead), d.lock} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}

func (d *Device) closer(what any) io.Closer {
	switch w := what.(type) {
	case opLog:
		return w
	case *deadLetters:
		if w != nil && w.log != nil {
			return w.log
		}
	}
	return nil
}

func (d *Device) open() error {
	bad, err := d.openIdentity()
	if err != nil {
		return err
	}
	if err := d.recover(bad); err != nil {
		return err
	}
	d.seen, err = openSeen(&d.cfg)
	return err
}

// openIdentity reads who we are, and refuses another client's store before anything was changed.
func (d *Device) openIdentity() (bad int, err error) {
	d.id, bad, err = loadIdentity(d.cfg.FS, d.cfg.Dir)
	if err != nil {
		return bad, fmt.Errorf("device: read the identity: %w", err)
	}
	if d.id == nil {
		d.id = &identity{Client: d.cfg.Client}
		return bad, nil
	}
	if d.id.Client == "" {
		d.id.Client = d.cfg.Client // the first name it is opened under: until then it was filled without one
	}
	if d.id.Client != d.cfg.Client && d.cfg.Client != "" {
		return bad, fmt.Errorf("%w: %s belongs to client %q, not %q. Nothing was touched. Next: use another "+
			"directory or the old name", ErrConfig, d.cfg.Dir, d.id.Client, d.cfg.Client)
	}
	return bad, nil
}

// recover reads dead letters and queue, and settles under which session and epoch this life sends.
func (d *Device) recover(bad int) error {
	dead, deadReport, err := openDead(&d.cfg)
	if err != nil {
		return fmt.Errorf("device: open the dead letters: %w", err)
	}
	d.dead = dead
	if err := d.replay(); err != nil {
		return err
	}
	d.report.Dead = deadReport.String()
	d.report.Damaged = d.report.Damaged || bad > 0 || !deadReport.Intact()
	return nil
}

// replay opens the queue's journal and gives each record to a core.
func (d *Device) replay() error {
	seed := freshSession(0).ID
	coreConfig := d.cfg.core(binary.LittleEndian.Uint64(seed[:]))
	late := &lateLog{}
	core := queue.New(coreConfig, late)
	visit := func(number uint64, record []byte) {
		if core.Recover(number, record) != nil {
			d.report.Unknown++
		}
	}
	log, report, err := openLog(&d.cfg, "queue",
		journal.Config{SegmentBytes: d.cfg.SegmentBytes, BatchBytes: 256 << 10, Visit: visit},
		journal.WriterConfig{Buffer: 1 << 20, Synced: d.synced})
	if err != nil {
		return fmt.Errorf("device: open the queue: %w", err)
	}
	d.log, late.Log, d.core = log, log, core
	d.sequel = sequel{log: log}
	d.report.Queue, d.report.Damaged = report.String(), !report.Intact()
	if err := d.settleSessions(report.First, report.Next); err != nil {
		return err
	}
	s := core.Status()
	d.report.Operations, d.report.Pending = s.Counters.Enqueued, s.Pending
	return nil
}

// lateLog is a log that is opened after the core that reads it was made.
type lateLog struct{ queue.Log }

// openLog opens one of the store's journals.
func openLog(c *Config, name string, j journal.Config, w journal.WriterConfig) (
	writerLog, *journal.Report, error,
) {
	j.Identity, j.First = "device "+name, 1
	log, report, err := journal.Open(c.FS, filepath.Join(c.Dir, name), j)
	if err != nil {
		return writerLog{}, nil, err
	}
	writer, err := journal.NewWriter(log, w)
	if err != nil {
		return writerLog{}, nil, errors.Join(err, log.Close())
	}
	return writerLog{writer}, report, nil
}

// settleSessions makes this life's identity durable and tells the core.
func (d *Device) settleSessions(first, next uint64) error {
	last := d.core.Last()
	id := d.id
	place := d.place()
	if id.Sends {
		id.Sent = last
	}
	sessions := id.sessions()
	switch {
	case len(sessions) == 0:
		d.report.Anew = last > 0
		sessions = []queue.Session{freshSession(1)}
	case id.Place != "" && place != "" && id.Place != place:
		d.report.Copied = true
		sessions = append(sessions, freshSession(next))
		id.Fenced = false
	default:
		current := &sessions[len(sessions)-1]
		current.Epoch++
		current.Instance = freshSession(0).Instance
	}
	id.Place, id.Sends = place, false
	id.setSessions(sessions)
	if err := id.save(d.cfg.FS, d.cfg.Dir); err != nil {
		return err
	}
	d.client = id.Client
	d.core.Begin(sessions, id.Sent)
	d.notedAt = d.core.Note()
	if id.Fenced {
		d.core.Fence(id.Rival)
	}
	return d.core.Recovered(first, next-1, d.dead.numbers())
}

// place tells where the directory lies: a copy has another number on its file system.
func (d *Device) place() string {
	if d.cfg.Place != nil {
		return d.cfg.Place()
	}
	info, err := os.Stat(filepath.Join(d.cfg.Dir, "lock"))
	if err != nil {
		return ""
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
	}
	return ""
}
