package edgeproc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// MasterConfig says which master to run, and where.
type MasterConfig struct {
	Command []string // the program and its first words: bin/metronome master
	Dir     string   // the master's own, with CA and backups; made if absent
	Log     string   // a file that its standard error is appended to; "" = DIR.log
	Flags   []string // further ones of metronome master serve
}

// Master is a running master, for one edge.
type Master struct {
	URL string // for edges
	*process

	command []string
	dir     string
	opened  *os.File // dir: a socket's path would be too long in some
	http    *http.Client
}

// StartMaster starts a master and returns once it serves. Stop or Kill must be called.
func StartMaster(ctx context.Context, c MasterConfig) (*Master, error) {
	m := &Master{command: c.Command, dir: c.Dir}
	if _, err := os.Stat(filepath.Join(c.Dir, "pki")); errors.Is(err, os.ErrNotExist) {
		if _, err := m.run(ctx, "", "init", "--host", "127.0.0.1"); err != nil {
			return nil, err
		}
	}
	argv := append(slices.Clone(c.Command), "serve", "--dir", c.Dir, "--listen", "127.0.0.1:0", "--page", "",
		"--admin", "", "--min-free", "1", "--drill-every", "-1s", "--check-every", "-1s")
	var err error
	m.process, err = begin("master", append(argv, c.Flags...), nil, cmp.Or(c.Log, c.Dir+".log"))
	if err != nil {
		return nil, err
	}
	if err = m.await(ctx, func(line string) bool {
		m.URL, _, _ = strings.Cut(strings.TrimPrefix(line, "master: "), " ")
		return strings.HasPrefix(line, "master: ")
	}); err != nil {
		return nil, err
	}
	if m.opened, err = os.Open(c.Dir); err != nil {
		m.kill()
		return nil, err
	}
	m.http = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: m.dial}}
	return m, nil
}

// run is a command of the master's, to its end.
func (m *Master) run(ctx context.Context, input string, words ...string) ([]byte, error) {
	return output(ctx, input, append(append(slices.Clone(m.command), words...), "--dir", m.dir)...)
}

// dial reaches the socket for commands.
func (m *Master) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/master.sock", m.opened.Fd()))
}

// Join makes the edge of this package a member, in a directory, by a token of the master's. command is that
// of the edge: bin/metronome edge.
func (m *Master) Join(ctx context.Context, command []string, member string) error {
	token, err := m.run(ctx, "", "enroll", edgeName, "--host", "127.0.0.1")
	if err != nil {
		return err
	}
	_, err = output(ctx, string(token), append(slices.Clone(command), "join", "--master", m.URL, "--member",
		member)...)
	return err
}

// Reach is the revision up to which the edge's newest backup can be restored, as the master has it; 0
// without any.
func (m *Master) Reach(ctx context.Context) (uint64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://master/v1/status", nil)
	if err != nil {
		return 0, err
	}
	answer, err := m.http.Do(r)
	if err != nil {
		return 0, fmt.Errorf("master: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	var status struct {
		Edges []struct {
			Newest struct{ Reach uint64 }
		}
	}
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("master: status: %d", answer.StatusCode)
	}
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil || len(status.Edges) != 1 {
		return 0, errors.Join(err, fmt.Errorf("master: %d edges, expected one", len(status.Edges)))
	}
	return status.Edges[0].Newest.Reach, nil
}

// Restored is what came of a restore.
type Restored struct {
	Revision, Keys uint64
	Digest         string
	Warnings       []string
}

// Restore makes a data directory of the newest backup: at the edge, over the network, with the rights of a
// member, or at the master if member is "".
func (m *Master) Restore(ctx context.Context, member, to string) (r Restored, err error) {
	words := []string{"restore", "--json", "--to", to}
	var b []byte
	if member == "" {
		b, err = m.run(ctx, "", append(words, edgeName)...)
	} else {
		b, err = output(ctx, "", append(append(slices.Clone(m.command), words...), "--member", member)...)
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// Stop asks it to end, and kills it if it does not.
func (m *Master) Stop() error {
	m.http.CloseIdleConnections()
	return errors.Join(m.stop(), m.opened.Close())
}

// Kill is kill -9.
func (m *Master) Kill() {
	m.kill()
	m.http.CloseIdleConnections()
	_ = m.opened.Close()
}
