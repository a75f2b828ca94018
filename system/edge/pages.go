package edge

import (
	_ "embed" // the description of all this
	"errors"
	"net/http"
	"strconv"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the description of the interface, in OpenAPI 3.1.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

func (s *Server) openAPI(c *call) error {
	if err := parseQuery(c).err(); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/yaml")
	return c.text(openAPI)
}

func (c *call) text(body []byte) error {
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // the client is gone if this fails
	}
	return nil
}

func (s *Server) livez(c *call) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return c.text([]byte("ok\n"))
}

// Reasons is why the edge is not ready, or nothing.
func (s *Server) Reasons() (why []Reason) {
	if checker, ok := s.cfg.Store.(Checker); ok {
		why = checker.Check()
	}
	if s.cfg.Ready != nil {
		why = append(why, s.cfg.Ready()...)
	}
	if s.closed.Load() {
		why = append(why, Reason{"process", "the edge is being stopped"})
	}
	return why
}

func (s *Server) readyz(c *call) error {
	q := parseQuery(c, "verbose")
	verbose := q.flag("verbose")
	if err := q.err(); err != nil {
		return err
	}
	why := s.Reasons()
	if len(why) > 0 {
		return NewProblem("not-ready", why[0].Part+": "+why[0].Text).With("reasons", why)
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !verbose {
		return c.text([]byte("ok\n"))
	}
	return c.text([]byte("[+]process ok\n[+]store ok\n[+]disk ok\n[+]certificate ok\n"))
}

func (s *Server) session(c *call) error {
	if err := parseQuery(c).err(); err != nil {
		return err
	}
	if !named(c.tail) {
		return NewProblem("invalid-query", "A session has 1 to 64 letters, digits, - and _.")
	}
	status := s.cfg.Store.Status()
	state, err := s.cfg.Store.Session(c.r.Context(), c.who.Name, c.tail)
	s.head(c, 0)
	if errors.Is(err, ErrNotFound) {
		return s.with(NewProblem("session-unknown", "Nothing of this session has arrived here."), &SessionState{})
	}
	if err != nil {
		return err
	}
	b := s.appendSession([]byte{'{'}, state)
	b = append(b, `,"client":`...)
	b = appendJSON(b, c.who.Name)
	b = append(b, `,"revision":`...)
	b = strconv.AppendUint(b, state.Revision, 10)
	b = append(b, `,"incarnation":"`...)
	return c.json(append(append(b, status.Incarnation...), "\"}\n"...))
}

func (s *Server) status(c *call) error {
	if err := parseQuery(c).err(); err != nil {
		return err
	}
	st := s.cfg.Store.Status()
	s.head(c, 0)
	out := struct {
		Edge        string  `json:"edge"`
		Store       string  `json:"store"`
		Incarnation string  `json:"incarnation"`
		Client      string  `json:"client"`
		Revision    uint64  `json:"revision"`
		BackedUp    *uint64 `json:"backed_up_revision,omitempty"`
		Keys        uint64  `json:"keys"`
		Bytes       uint64  `json:"bytes"`
	}{s.cfg.Name, st.Kind, st.Incarnation, c.who.Name, st.Revision, nil, st.Keys, st.Bytes}
	if st.BackedUp.Known {
		out.BackedUp = &st.BackedUp.At
	}
	return c.json(append(appendJSON(nil, out), '\n'))
}
