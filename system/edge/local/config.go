package local

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config says where and how a store keeps its data; a zero field means its default.
type Config struct {
	Dir string // of this store alone; made if absent

	Queue       int           // batches waiting for the writer; default 1024
	LogBytes    int64         // of the log of changes that is kept; default 256 MiB
	MinFree     uint64        // bytes of free disk below which nothing is written; default 256 MiB
	Cache       int64         // bytes of Pebble's block cache; default 64 MiB
	MemTable    uint64        // bytes of one of its memtables; default 32 MiB
	Sessions    int           // of one client; default 1024
	SessionIdle time.Duration // after which a session that is backed up goes; default 90 days
	Cursors     int           // open listings; the oldest goes first. Default 64
	CursorLife  time.Duration // default 60 s
	BackedUp    bool          // a master takes backups: sessions are told, and kept until they are in one

	FS    vfs.FS           // default: the machine's
	Now   func() time.Time // default: time.Now
	Log   *slog.Logger     // default: slog.Default
	Fatal func(error)      // ends the process after the disk has failed; must not return
}

// FailedExit is the exit code of the default Config.Fatal: EX_IOERR of sysexits.h.
const FailedExit = 74

func orDefault[T int | int64 | uint64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func (c *Config) setDefaults() error {
	if c.Dir == "" {
		return fmt.Errorf("edge/local: no directory: set Config.Dir to one that only this store uses")
	}
	orDefault(&c.Queue, 1024)
	orDefault(&c.LogBytes, 256<<20)
	orDefault(&c.MinFree, 256<<20)
	orDefault(&c.Cache, 64<<20)
	orDefault(&c.MemTable, 32<<20)
	orDefault(&c.Sessions, 1024)
	orDefault(&c.SessionIdle, 90*24*time.Hour)
	orDefault(&c.Cursors, 64)
	orDefault(&c.CursorLife, time.Minute)
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Fatal == nil {
		log := c.Log
		c.Fatal = func(err error) {
			log.Error("the store's disk has failed; the process ends, start it again to recover", "error", err)
			os.Exit(FailedExit)
		}
	}
	return nil
}

// pebbleLog passes on what Pebble reports.
type pebbleLog struct {
	log   *slog.Logger
	fatal func(error)
}

// Infof implements pebble.Logger.
func (l pebbleLog) Infof(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

// Errorf implements pebble.Logger.
func (l pebbleLog) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf implements pebble.Logger.
func (l pebbleLog) Fatalf(format string, args ...any) { l.fatal(fmt.Errorf(format, args...)) }
