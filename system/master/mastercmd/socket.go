package mastercmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"metronome/system/master"
	"metronome/system/master/api"
)

// longest is how long a path of a socket may be on Linux.
const longest = 107

// short gives a socket a path that is short enough, by way of its open directory.
func short(path string) (name string, done func(), err error) {
	if len(path) <= longest {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

// listen makes the socket, in place of one that a killed server left. The directory's lock says
// that no other server is there.
func listen(path string) (net.Listener, error) {
	name, done, err := short(path)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("the commands' socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by then another server may have its own there
	return l, os.Chmod(path, 0o600)
}

// dialer reaches a server through its socket.
func dialer(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _,
		_ string) (net.Conn, error) {
		name, done, err := short(path)
		if err != nil {
			return nil, err
		}
		defer done()
		var d net.Dialer
		return d.DialContext(ctx, "unix", name)
	}}}
}

// here answers requests by a handler of this process.
type here struct{ h http.Handler }

// RoundTrip implements [http.RoundTripper].
func (h here) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &answer{status: http.StatusOK, header: http.Header{}}
	h.h.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Request: r,
		Body: io.NopCloser(&w.body)}, nil
}

// answer gathers what a handler writes.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements [http.ResponseWriter].
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// reach finds the master of a directory: the server if one runs, else one for this command alone.
func (l layout) reach() (c *api.Client, done func() error, err error) {
	if conn, err := dialer(l.socket()).Transport.(*http.Transport).DialContext(context.Background(), "",
		""); err == nil {
		_ = conn.Close()
		return &api.Client{URL: "http://master", HTTP: dialer(l.socket())}, func() error { return nil }, nil
	}
	o := Options{Dir: string(l)}
	cfg, err := o.config()
	if err != nil {
		return nil, nil, err
	}
	m, err := master.Open(cfg)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Look(ctx); err != nil {
		return nil, nil, errors.Join(err, m.Close())
	}
	return &api.Client{URL: "http://master", HTTP: &http.Client{Transport: here{m.AdminHandler()}}}, m.Close, nil
}
