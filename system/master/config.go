package master

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"metronome/system/access/join"
	"metronome/system/access/pki"
	"metronome/system/backup"
	"metronome/system/disk"
	"metronome/system/master/keep"
)

// Config says what a master stands on; a zero field means its default.
type Config struct {
	Dir       string         // of this master alone
	Keeper    *pki.Keeper    // its certificate, of role master
	Authority *pki.Authority // signs edges' certificates; nil = it neither enrols nor renews
	// Place opens the destination of one edge's backups. Default: a directory in Dir.
	Place func(ctx context.Context, edge string) (backup.Destination, error)
	Where string // what people call the destination

	Policy keep.Policy   // which backups stay; default keep.Default
	Grace  time.Duration // between marking and removing; default 24 h

	DrillEvery time.Duration // a backup of each edge is restored this often; default a week; < 0 = never
	// a part of each edge's backups is read again this often; default a day; < 0 = never
	CheckEvery time.Duration
	CheckTurns int           // this many parts; default 100
	PruneEvery time.Duration // default an hour
	ListEvery  time.Duration // how often it is looked whether anything vanished; default ten minutes
	Heartbeat  time.Duration // ask edges for a sign of life this often; 0 = never

	MinFree  uint64 // bytes of free disk below which nothing is taken in; default 1 GiB
	Requests int    // large ones that are worked on at a time; default 16

	FS   disk.FS          // of Dir, for the free space and the lock; default the machine's
	Now  func() time.Time // the clock on the wall; default time.Now
	Mono func() int64     // ns of a clock that only grows; default the machine's
	Log  *slog.Logger
}

// certificateGrace is how long after its end an edge's certificate still gets it a new one.
const certificateGrace = 400 * 24 * time.Hour

func (c *Config) setDefaults() error {
	if c.Dir == "" || c.Keeper == nil {
		return fmt.Errorf("master: Config.Dir and Config.Keeper are needed")
	}
	if n := c.Keeper.Name(); n.Role != pki.Master {
		return fmt.Errorf("master: the certificate names %v: a master needs one of role master, see metronome "+
			"pki leaf master/NAME", n)
	}
	if c.FS == nil {
		c.FS = disk.OS()
	}
	if c.Place == nil {
		c.Place = Directories(c.FS, filepath.Join(c.Dir, "vault"))
	}
	if c.Where == "" {
		c.Where = filepath.Join(c.Dir, "vault")
	}
	if c.Policy == (keep.Policy{}) {
		c.Policy = keep.Default()
	}
	c.times()
	if c.MinFree == 0 {
		c.MinFree = 1 << 30
	}
	if c.Requests <= 0 {
		c.Requests = 16
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

func (c *Config) times() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Grace, 24 * time.Hour}, {&c.DrillEvery, 7 * 24 * time.Hour}, {&c.CheckEvery, 24 * time.Hour},
		{&c.PruneEvery, time.Hour}, {&c.ListEvery, 10 * time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.CheckTurns <= 0 {
		c.CheckTurns = 100
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Mono == nil {
		begin := time.Now()
		c.Mono = func() int64 { return int64(time.Since(begin)) }
	}
}

// Directories is a Place in a file system: a directory for each edge.
func Directories(fs disk.FS, dir string) func(context.Context, string) (backup.Destination, error) {
	return func(_ context.Context, edge string) (backup.Destination, error) {
		return backup.NewDirectory(fs, filepath.Join(dir, edge))
	}
}

// RegistryIn is where a master in a directory keeps what it knows of edges.
func RegistryIn(dir string) Registry { return Registry{Dir: filepath.Join(dir, "edges")} }

// TokensIn is where it keeps join tokens.
func TokensIn(dir string) join.Store { return join.Store{Path: filepath.Join(dir, "join.json")} }
