// Package edgetest is an edge in memory for tests of devices: the routes that a device uses, as
// package edge describes them, and faults on demand. It is small enough to be believed at a glance,
// and keeps a history of what it executed. Package device's tests run against it and against the
// real handler alike.
//
// It has no listing, no watching, no credentials beyond one user, and no disk.
package edgetest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Edge is an edge in memory. Its fields may be set before it serves; what changes later goes
// through its methods.
type Edge struct {
	Name string
	// User and Password are asked for if User is set.
	User, Password string
	// Marks says which marks beyond "edge" it gives, for the number that a session has reached.
	Marks func(session string, high uint64) map[string]uint64

	mu          sync.Mutex
	incarnation string
	state       State
	answer      http.HandlerFunc // instead of everything
	refuse      func(op *Op) int
	fault       func(r *http.Request, after bool) bool
	requests    int
}

// State is everything the edge knows; a copy of it is a backup.
type State struct {
	Revision uint64
	Values   map[string]Entry
	Sessions map[string]Session
	History  []Applied // what was executed, in order
}

// Entry is a key's value.
type Entry struct {
	Value    string
	Revision uint64
}

// Session is what the edge knows of one.
type Session struct {
	High, Epoch uint64
	Instance    string
}

// Applied is an executed operation.
type Applied struct {
	Session string
	Seq     uint64
	Op, Key string
	Value   string
}

// Op is an operation of a batch, as it travels.
type Op struct {
	Seq         uint64  `json:"seq"`
	Op          string  `json:"op"`
	Key         *string `json:"key"`
	KeyBase64   []byte  `json:"key_base64"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"value_base64"`
	IfMatch     string  `json:"if_match"`
	IfNoneMatch string  `json:"if_none_match"`
}

// Name returns the key.
func (o *Op) Name() string {
	if o.Key != nil {
		return *o.Key
	}
	return string(o.KeyBase64)
}

// Content returns the value.
func (o *Op) Content() string {
	if o.Value != nil {
		return *o.Value
	}
	return string(o.ValueBase64)
}

type batch struct {
	Session  string `json:"session"`
	Instance string `json:"instance"`
	Epoch    uint64 `json:"epoch"`
	Prev     uint64 `json:"prev"`
	Last     uint64 `json:"last"`
	Mode     string `json:"mode"`
	Ops      []Op   `json:"ops"`
}

// New returns an empty edge.
func New(name string) *Edge {
	empty := State{Values: map[string]Entry{}, Sessions: map[string]Session{}}
	return &Edge{Name: name, incarnation: newID(), state: empty}
}

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

func (s *State) clone() State {
	return State{s.Revision, maps.Clone(s.Values), maps.Clone(s.Sessions), append([]Applied(nil), s.History...)}
}

// Backup returns a copy of all that the edge knows.
func (e *Edge) Backup() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state.clone()
}

// Restore sets the edge back; devices see another incarnation.
func (e *Edge) Restore(s *State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state, e.incarnation = s.clone(), newID()
}

// Answer makes h answer every request, until it is set to nil: outages, login pages.
func (e *Edge) Answer(h http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = h
}

// Refuse lets f decide which operations are refused for good, and with which status; 0 = executed.
func (e *Edge) Refuse(f func(op *Op) int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse = f
}

// Break has f called for each request before and after it was executed; true breaks the connection.
func (e *Edge) Break(f func(r *http.Request, after bool) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = f
}

func (e *Edge) breaks() func(*http.Request, bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fault == nil {
		return func(*http.Request, bool) bool { return false }
	}
	return e.fault
}

// Requests tells how many requests came.
func (e *Edge) Requests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests
}

// ServeHTTP answers one request.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	breaks := e.breaks()
	if breaks(r, false) {
		panic(http.ErrAbortHandler)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	if e.answer != nil {
		e.answer(w, r)
		return
	}
	w.Header().Set("X-Served-By", e.Name)
	w.Header().Set("X-Edge-Incarnation", e.incarnation)
	e.route(w, r)
	if breaks(r, true) {
		panic(http.ErrAbortHandler)
	}
}

func (e *Edge) route(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); e.User != "" && (user != e.User || password != e.Password) {
		Problem(w, 401, "unauthenticated", nil)
		return
	}
	switch path := r.URL.Path; {
	case r.Method == http.MethodPost && path == "/v1/batch":
		e.batch(w, r)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/v1/sessions/"):
		e.session(w, strings.TrimPrefix(path, "/v1/sessions/"))
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/v1/kv/"):
		e.get(w, strings.TrimPrefix(path, "/v1/kv/"))
	default:
		Problem(w, 404, "no-such-route", nil)
	}
}

// Problem writes an error as an edge does.
func Problem(w http.ResponseWriter, status int, code string, more map[string]any) {
	body := map[string]any{"type": "urn:metronome:problem:" + code, "title": code, "status": status,
		"detail": "a test says so", "retryable": status >= 500 || status == 429}
	maps.Copy(body, more)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (e *Edge) get(w http.ResponseWriter, key string) {
	entry, ok := e.state.Values[key]
	if !ok {
		Problem(w, 404, "key-not-found", nil)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", strconv.FormatUint(entry.Revision, 10)))
	_, _ = w.Write([]byte(entry.Value))
}

func (e *Edge) session(w http.ResponseWriter, id string) {
	s, ok := e.state.Sessions[id]
	if !ok {
		Problem(w, 404, "session-unknown", map[string]any{"hwm": 0})
		return
	}
	reply(w, map[string]any{"session": id, "epoch": s.Epoch, "hwm": s.High, "incarnation": e.incarnation,
		"marks": e.marks(id, s.High)})
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func (e *Edge) marks(session string, high uint64) map[string]uint64 {
	m := map[string]uint64{"edge": high}
	if e.Marks != nil {
		maps.Copy(m, e.Marks(session, high))
	}
	return m
}
