package access

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// A bad credential file: the old one stays.
func TestBadCredentialFileKeepsTheOldOne(t *testing.T) {
	bad := map[string]string{
		"torn":           withHashes(twoUsers)[:60],
		"empty":          "",
		"no YAML":        "{{{",
		"panicking YAML": strings.Replace(twoUsers, "[read, write]", "!tag\nb: 0", 1),
		"misspelt":       strings.Replace(twoUsers, "rights", "rigths", 1),
		"plain password": strings.Replace(twoUsers, "ALICE", "hunter2", 1),
		"cheap hash":     strings.Replace(twoUsers, "ALICE", fakeHash(9, "a"), 1),
		"dear hash":      strings.Replace(twoUsers, "ALICE", fakeHash(15, "a"), 1),
		"beyond role":    strings.Replace(twoUsers, "[read, write]", "[admin]", 1),
		"other version":  strings.Replace(twoUsers, "version: 1", "version: 2", 1),
	}
	for name, source := range bad {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, twoUsers)
			r.write(source)
			if err := r.Reload(); err == nil {
				t.Fatal("it was taken")
			}
			if r.Err() == nil || r.Stats().ReloadsFailed != 1 {
				t.Error("and not reported")
			}
			r.want(200, "alice", alicePassword, home)
			r.want(200, "bob", bobPassword, home)
			r.write(twoUsers)
			if err := r.Reload(); err != nil || r.Err() != nil {
				t.Errorf("repaired, and %v, %v", err, r.Err())
			}
		})
	}
}

func TestFileThatVanishesOrIsOpenToOthersKeepsTheOldOne(t *testing.T) {
	r := newRig(t, twoUsers)
	if err := os.Chmod(r.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("open to others: %v", err)
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	err := r.Reload()
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "metronome user add") {
		t.Errorf("vanished: %v", err)
	}
	r.want(200, "alice", alicePassword, home)
}

func TestGuardDoesNotStartWithABadFile(t *testing.T) {
	if _, err := NewGuard(Config{File: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := NewGuard(Config{}); err == nil {
		t.Error("no file, no error")
	}
}

// until waits for something that another goroutine brings about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute) // machines are slow and shared; nothing is timed here
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRunTakesUpAChangedFile(t *testing.T) {
	r := newRig(t, twoUsers, func(c *Config) { c.Every = time.Millisecond })
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.write("broken")
	until(t, "a broken file is reported", func() bool { return r.Err() != nil })
	r.want(200, "alice", alicePassword, home)
	err := os.WriteFile(r.path, []byte(withHashes(twoUsers)), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the file is whole again", func() bool { return r.Err() == nil })
	if err := Edit(r.path, func(f *File) error { return f.Remove("alice") }); err != nil {
		t.Fatal(err)
	}
	until(t, "alice is removed", func() bool { return r.Stats().Users == 1 })
	r.want(401, "alice", alicePassword, home)
	stop()
	wg.Wait()
	for _, want := range []string{"credential removed", "user=alice", "the old one is"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the audit trail lacks %q:\n%s", want, r.log.String())
		}
	}
}

// Hashes below the file's cost are made anew at log-in, for only then is the password there.
func TestRehashAtLogin(t *testing.T) {
	cheap, err := bcrypt.GenerateFromPassword([]byte(alicePassword), MinCost)
	if err != nil {
		t.Fatal(err)
	}
	source := strings.NewReplacer("ALICE", string(cheap), "cost: 10", "cost: 11").Replace(twoUsers)
	r := newRig(t, source, func(c *Config) { c.KeepHashes, c.compare = false, bcrypt.CompareHashAndPassword })
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.want(200, "alice", alicePassword, home)
	until(t, "the hash is renewed", func() bool { return r.Stats().Rehashed == 1 })
	stop()
	wg.Wait()
	f, err := ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hashCost(f.Users["alice"].Password); got != 11 {
		t.Errorf("cost %d, want 11", got)
	}
	hashes := r.Stats().Hashes
	r.want(200, "alice", alicePassword, home)
	if r.Stats().Hashes != hashes {
		t.Error("the renewed hash is not in the cache")
	}
}

func TestRehashLeavesAPasswordThatChangedMeanwhile(t *testing.T) {
	r := newRig(t, strings.Replace(twoUsers, "cost: 10", "cost: 11", 1), func(c *Config) {
		c.hash = func(string, int) (string, error) { return fakeHash(11, "late"), nil }
	})
	changed := strings.Replace(twoUsers, "ALICE", fakeHash(11, "new"), 1)
	r.write(changed)
	if err := r.rehash(renewal{"alice", alicePassword, aliceHash}); err == nil {
		t.Error("no error")
	}
	if f, err := ReadFile(r.path); err != nil || f.Users["alice"].Password != fakeHash(11, "new") {
		t.Errorf("overwritten: %v", err)
	}
}

func TestRace(t *testing.T) {
	r := newRig(t, twoUsers, func(c *Config) { c.Every, c.Limits.Size, c.Cache.Size = time.Millisecond, 4, 2 })
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	wg.Go(func() {
		for i := range 20 {
			r.write(map[bool]string{true: twoUsers, false: "broken"}[i%2 == 0])
			_ = r.Reload()
			r.Stats()
		}
		r.write(twoUsers)
		if err := r.Reload(); err != nil {
			t.Error(err)
		}
	})
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				r.want(200, "alice", alicePassword, home)
				r.try("bob", "wrong password", "192.0.2."+string(rune('1'+i%9)))
				r.pass(time.Second)
			}
		})
	}
	until(t, "some requests", func() bool { return r.Stats().Cached > 10 })
	time.AfterFunc(0, stop)
	wg.Wait()
}
