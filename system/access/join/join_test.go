package join

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	epoch       = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fingerprint = [32]byte{1, 2, 3}
	keyA, keyB  = [32]byte{'a'}, [32]byte{'b'}
)

func newStore(t *testing.T) (Store, *time.Time) {
	now := epoch
	return Store{Path: filepath.Join(t.TempDir(), "join.json"), Now: func() time.Time { return now }}, &now
}

func issue(t *testing.T, s Store, subject string) Token {
	t.Helper()
	token, err := s.Issue(subject, fingerprint, 0)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenSurvivesCopyingAndNoMistakeDoes(t *testing.T) {
	s, _ := newStore(t)
	token := issue(t, s, "edge/hallway")
	text := token.Text()
	back, err := Parse(" " + text + "\n")
	if err != nil || back != token || back.Fingerprint != fingerprint {
		t.Fatalf("%v", err)
	}
	for i := range len(text) {
		for _, c := range []byte("Ab0-_ \n\r") {
			wrong := text[:i] + string(c) + text[i+1:]
			if wrong == text {
				continue
			}
			if got, err := Parse(wrong); err == nil {
				t.Fatalf("letter %d replaced, and %v", i, got)
			}
		}
		if _, err := Parse(text[:i] + text[i+1:]); err == nil {
			t.Fatalf("letter %d left out", i)
		}
	}
	for _, s := range []string{"", tokenPrefix, text + text, strings.ToUpper(text)} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q", s)
		} else if len(s) > 10 && strings.Contains(err.Error(), s) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

func TestTokenIsNeverPrintedNorStored(t *testing.T) {
	s, _ := newStore(t)
	token := issue(t, s, "edge/hallway")
	secret := token.Text()[4:30]
	b, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(token), fmt.Sprintf("%+v %#v %s", token, token, token), string(b)} {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", token.Secret)) {
			t.Errorf("shown: %s", text)
		}
	}
	if info, err := os.Stat(s.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestTokenIsGoodForOneKeyOnce(t *testing.T) {
	s, now := newStore(t)
	token := issue(t, s, "edge/hallway")
	foreign := issue(t, Store{Path: filepath.Join(t.TempDir(), "x")}, "x")
	if _, err := s.Redeem(foreign.Secret, keyA); !errors.Is(err, ErrUnknown) {
		t.Errorf("another store's: %v", err)
	}
	for range 3 { // an answer that is lost is asked for again
		subject, err := s.Redeem(token.Secret, keyA)
		if err != nil || subject != "edge/hallway" {
			t.Fatalf("%q, %v", subject, err)
		}
	}
	if subject, err := s.Redeem(token.Secret, keyB); !errors.Is(err, ErrUsed) || subject != "" {
		t.Errorf("another key: %q, %v", subject, err)
	}
	*now = now.Add(DefaultLife + 1)
	if subject, err := s.Redeem(token.Secret, keyA); !errors.Is(err, ErrExpired) || subject != "" {
		t.Errorf("expired: %q, %v", subject, err)
	}
}

func TestManyComeWithOneTokenAndOneKeyWins(t *testing.T) {
	s, _ := newStore(t)
	token := issue(t, s, "edge/hallway")
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			_, err := s.Redeem(token.Secret, [32]byte{byte(i)})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrUsed):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d keys won", won.Load())
	}
}

func TestUseIsOnDiskBeforeTheAnswer(t *testing.T) {
	s, _ := newStore(t)
	token := issue(t, s, "edge/hallway")
	if _, err := s.Redeem(token.Secret, keyA); err != nil {
		t.Fatal(err)
	}
	again := Store{Path: s.Path, Now: s.Now} // as after a restart
	if _, err := again.Redeem(token.Secret, keyB); !errors.Is(err, ErrUsed) {
		t.Error(err)
	}
	other := issue(t, s, "edge/kitchen")
	if err := os.Remove(s.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.Path, 0o700); err != nil { // nothing can be written
		t.Fatal(err)
	}
	if subject, err := s.Redeem(other.Secret, keyA); err == nil {
		t.Errorf("admitted %q without a record", subject)
	}
}

func TestNewTokenEndsTheUnusedOneBefore(t *testing.T) {
	s, now := newStore(t)
	lost, used := issue(t, s, "edge/hallway"), issue(t, s, "edge/kitchen")
	if _, err := s.Redeem(used.Secret, keyA); err != nil {
		t.Fatal(err)
	}
	issue(t, s, "edge/hallway")
	issue(t, s, "edge/kitchen")
	if _, err := s.Redeem(lost.Secret, keyA); !errors.Is(err, ErrUnknown) {
		t.Errorf("the lost one: %v", err)
	}
	if _, err := s.Redeem(used.Secret, keyA); err != nil {
		t.Errorf("the used one, by the same key: %v", err)
	}
	if n, err := s.Revoke("edge/kitchen"); n != 2 || err != nil {
		t.Errorf("revoked %d, %v", n, err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 || list[0].Subject != "edge/hallway" {
		t.Errorf("%+v, %v", list, err)
	}
	*now = now.Add(2 * time.Hour)
	issue(t, s, "edge/attic")
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("expired ones are kept: %+v, %v", list, err)
	}
}

func TestStoreIsBoundedAndSaysWhatIsWrong(t *testing.T) {
	s, _ := newStore(t)
	for _, c := range []struct {
		subject string
		life    time.Duration
	}{{"", 0}, {strings.Repeat("x", 200), 0}, {"edge/x", -1}, {"edge/x", MaxLife + 1}} {
		if _, err := s.Issue(c.subject, fingerprint, c.life); err == nil {
			t.Errorf("%+v", c)
		}
	}
	f := &file{Version: version}
	for i := range MaxTokens {
		f.Tokens = append(f.Tokens, Entry{Subject: fmt.Sprint(i), Expires: epoch.Add(time.Hour)})
	}
	if err := s.edit(func(now *file) error { *now = *f; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Issue("edge/x", fingerprint, 0); err == nil || !strings.Contains(err.Error(), "1024") {
		t.Errorf("beyond the bound: %v", err)
	}
	for _, bad := range []string{"", "{", `{"version":2}`, `{"version":1,"x":1}`} {
		if err := os.WriteFile(s.Path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Issue("edge/x", fingerprint, 0); err == nil {
			t.Errorf("%q was overwritten", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(newToken(fingerprint).Text())
	f.Add(tokenPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := Parse(text); err == nil && token.Text() != strings.TrimSpace(text) {
			t.Errorf("%q and %q are one token", text, token.Text())
		}
	})
}

func FuzzStore(f *testing.F) {
	f.Add([]byte(`{"version":1,"tokens":[{"subject":"edge/x","sum":"00","expires":"2026-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if f, err := parse(b); err == nil {
			f.find(sumOf([SecretBytes]byte{}))
		}
	})
}
