package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"metronome/internal/version"
	"metronome/system/edge/local"
	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// Config says what to ship, and to whom; a zero field means its default.
type Config struct {
	Edge    string
	Master  string       // URL
	HTTP    *http.Client // see Client
	Key     vault.Key
	Source  local.Source
	Scratch string // a directory of its own on the file system of the store; emptied

	Every           time.Duration // between looks at the log; default 1 s
	Promise         time.Duration // between reports, at most; default 10 s
	CheckpointEvery time.Duration // default 24 h
	CheckpointBytes int64         // of log after which there is another checkpoint; default 64 MiB
	Uploads         int           // chunks on their way at once; default 3
	Backoff         time.Duration // longest pause after failures; default 60 s

	// Elsewhere says that others back up the data, as a cluster does for the edges that share it: only
	// reports are sent, and of Source only the status is asked.
	Elsewhere bool

	// Describe adds to a report what the shipper does not know: address, queue, disk, certificate. May
	// be nil.
	Describe func(*api.Report)
	Now      func() time.Time // default time.Now
	Log      *slog.Logger
}

func (c *Config) setDefaults() error {
	if c.Edge == "" || c.Source == nil || c.HTTP == nil || c.Scratch == "" {
		return errors.New("ship: Config.Edge, Source, HTTP and Scratch are needed")
	}
	if c.Key == (vault.Key{}) {
		return errors.New("ship: no backup key: nothing is shipped without encryption. Join the master again")
	}
	if err := checkURL(c.Master); err != nil {
		return err
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Every, time.Second}, {&c.Promise, 10 * time.Second}, {&c.CheckpointEvery, 24 * time.Hour},
		{&c.Backoff, time.Minute}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.CheckpointBytes <= 0 {
		c.CheckpointBytes = 64 << 20
	}
	if c.Uploads <= 0 {
		c.Uploads = 3
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

// Stats counts what a shipper did.
type Stats struct {
	Checkpoints   uint64 // committed
	ChunksSent    uint64
	ChunksReused  uint64 // the master had them
	BytesSent     uint64 // sealed, of chunks and logs
	LogPieces     uint64
	Failures      uint64
	LastIncrement uint64 // bytes of chunks that the last checkpoint sent
}

// Shipper ships one edge's changes to its master. Run is its one goroutine, beside those of an
// upload.
type Shipper struct {
	cfg    Config
	seal   *vault.Sealer
	client api.Client
	poke   chan struct{}

	// of Run's goroutine
	lease      uint64
	next       uint64 // revision to ship next
	logged     int64  // bytes of log since the checkpoint
	taken      time.Time
	reported   time.Time
	why        string // for the next checkpoint; "" = none is due
	pause      time.Duration
	uploading  chan checkpointed // nil = no checkpoint is on its way
	known      map[string][]vault.Chunk
	fencedOnce bool
	uploadErr  error // of the last upload, until one succeeds
	uploadWait time.Duration
	again      time.Time // no upload begins before

	mu    sync.Mutex
	state api.BackupState
	stats Stats
}

// ErrFenced is wrapped when another process backs up this edge.
var ErrFenced = errors.New("another process backs up this edge")

// New makes a shipper.
func New(cfg Config) (*Shipper, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	seal, err := vault.NewSealer(cfg.Key)
	if err != nil {
		return nil, err
	}
	return &Shipper{cfg: cfg, seal: seal, poke: make(chan struct{}, 1), why: "a process began",
		client: api.Client{URL: cfg.Master, HTTP: cfg.HTTP, Header: http.Header{}},
		known:  map[string][]vault.Chunk{},
		state:  api.BackupState{State: "starting"}}, nil
}

// State is how backups go.
func (s *Shipper) State() api.BackupState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	if s.cfg.Elsewhere {
		st.State = api.Elsewhere
	} else if at := s.cfg.Source.Status().Revision; at > st.Shipped {
		st.Behind = at - st.Shipped
	}
	return st
}

// Stats are the counters.
func (s *Shipper) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Poke makes Run look now: after a pause of the network, or in tests.
func (s *Shipper) Poke() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run ships until ctx ends. It never fails: what goes wrong is in State, and tried again.
func (s *Shipper) Run(ctx context.Context) {
	defer s.settle()
	for ctx.Err() == nil {
		err := errors.Join(s.guarded(ctx, s.step), s.guarded(ctx, s.report)) // so that people see what fails
		wait := s.cfg.Every
		if err != nil && ctx.Err() == nil {
			wait = s.failed(err)
		} else {
			s.fine()
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.poke:
		case done := <-s.uploading:
			s.uploaded(ctx, done)
		}
		timer.Stop()
	}
}

// settle waits for an upload that is under way: it uses the store.
func (s *Shipper) settle() {
	if s.uploading != nil {
		<-s.uploading
		s.uploading = nil
	}
}

// guarded does something of which a panic is an error: a bug here must not stop the edge.
func (s *Shipper) guarded(ctx context.Context, do func(context.Context) error) (err error) {
	defer catch(&err)
	return do(ctx)
}

func catch(err *error) {
	if what := recover(); what != nil {
		*err = fmt.Errorf("ship: a bug: %v\n%s", what, debug.Stack())
	}
}

// step ships what is due.
func (s *Shipper) step(ctx context.Context) error {
	if s.fencedOnce || s.cfg.Elsewhere {
		return nil
	}
	if s.lease == 0 {
		if err := s.hello(ctx); err != nil {
			return err
		}
	}
	s.plan()
	if s.why != "" && s.uploading == nil && !time.Now().Before(s.again) {
		s.upload(ctx)
	}
	return s.shipLog(ctx)
}

// plan decides whether a checkpoint is due.
func (s *Shipper) plan() {
	switch {
	case s.why != "":
	case s.logged >= s.cfg.CheckpointBytes:
		s.why = "the log has grown"
	case !s.taken.IsZero() && s.cfg.Now().Sub(s.taken).Abs() >= s.cfg.CheckpointEvery:
		s.why = "it is time"
	}
}

func (s *Shipper) hello(ctx context.Context) error {
	st := s.cfg.Source.Status()
	var out api.Lease
	err := s.call(ctx, http.MethodPost, "hello", "", api.Hello{Incarnation: st.Incarnation,
		Revision: st.Revision,
		KeyID:    s.cfg.Key.ID()}, &out)
	if err != nil {
		return err
	}
	if out.Warning != "" {
		s.cfg.Log.Warn("the master has more of this edge than it has itself", "warning", out.Warning)
	}
	s.lease = out.Lease
	s.client.Header.Set(api.LeaseHeader, strconv.FormatUint(out.Lease, 10))
	return nil
}

// callLimit bounds one request: a chunk over a slow line takes its time.
const callLimit = 5 * time.Minute

// call is a request below the edge's path.
func (s *Shipper) call(ctx context.Context, method, what, which string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	parts := []string{what}
	if which != "" {
		parts = append(parts, which)
	}
	return s.client.Call(ctx, method, api.EdgePath(s.cfg.Edge, parts...), in, out)
}

// report tells the master about this edge, when it is time.
func (s *Shipper) report(ctx context.Context) error {
	now := s.cfg.Now()
	if now.Sub(s.reported).Abs() < s.cfg.Promise*9/10 {
		return nil
	}
	st := s.cfg.Source.Status()
	r := api.Report{Promise: s.cfg.Promise, Software: version.String(), Store: st.Kind,
		Incarnation: st.Incarnation,
		Revision:    st.Revision, Digest: vault.DigestText(st.Digest), Keys: st.Keys, Bytes: st.Bytes, Clock: now,
		Backup: s.State()}
	if s.cfg.Describe != nil {
		s.cfg.Describe(&r)
	}
	var wish api.Wish
	if err := s.call(ctx, http.MethodPost, "report", "", r, &wish); err != nil {
		return err
	}
	s.reported = now
	s.wish(&wish)
	return nil
}

func (s *Shipper) wish(w *api.Wish) {
	if w.Backup != "" && s.why == "" && s.uploading == nil {
		s.why = w.Backup
		s.cfg.Log.Warn("the master asks for a new checkpoint", "why", w.Backup)
	}
}

// failed notes a failure and says how long to wait.
func (s *Shipper) failed(err error) time.Duration {
	var p *api.Problem
	s.pause = min(max(2*s.pause, time.Second/2), s.cfg.Backoff)
	wait := rand.N(s.pause) + 1
	if errors.As(err, &p) {
		wait = max(wait, p.RetryAfter)
	}
	s.note(err)
	return wait
}

// note makes an error seen.
func (s *Shipper) note(err error) {
	if isFenced(err) && !s.fencedOnce {
		s.fencedOnce = true
		s.cfg.Log.Error("this edge is backed up by another process; this one stops shipping", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Error == "" {
		s.state.Since = s.cfg.Now().UTC()
		s.cfg.Log.Warn("backups fail; the edge goes on", "error", err)
	}
	s.state.Error, s.state.State = err.Error(), "failing"
	s.state.Error = s.state.Error[:min(len(s.state.Error), 300)]
	if s.fencedOnce {
		s.state.State = "fenced"
	}
	s.state.Failures++
	s.stats.Failures++
}

func isFenced(err error) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Code() == "fenced"
}

// fine notes that all is well, except that who was shut out stays so.
func (s *Shipper) fine() {
	s.pause = 0
	if s.fencedOnce || s.uploadErr != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Error != "" {
		s.cfg.Log.Info("backups work again")
	}
	s.state.Error, s.state.Since, s.state.State = "", time.Time{}, "shipping"
	if s.uploading != nil {
		s.state.State = "checkpoint"
	}
}
