package ops

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Reason is why a process is not ready, or not alive.
type Reason struct {
	Code string `json:"code"` // a constant word, for alerts: no_leader
	Text string `json:"text"` // for people: what is missing, and what to do
}

// health asks its checks, and shows what they say.
type health struct {
	mu     sync.Mutex
	checks []func() []Reason
}

func (h *health) add(check func() []Reason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, check)
}

func (h *health) reasons() (all []Reason) {
	h.mu.Lock()
	checks := h.checks
	h.mu.Unlock()
	for _, check := range checks {
		all = append(all, check()...)
	}
	return all
}

// ServeHTTP implements http.Handler.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reasons := h.reasons()
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.FormValue("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, status, reasons)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if status == http.StatusOK {
		_, _ = fmt.Fprintln(w, "ok")
	}
	for _, reason := range reasons {
		_, _ = fmt.Fprintf(w, "%s: %s\n", reason.Code, reason.Text)
	}
}

func writeJSON(w http.ResponseWriter, status int, reasons []Reason) {
	if reasons == nil {
		reasons = []Reason{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		OK      bool     `json:"ok"`
		Reasons []Reason `json:"reasons"`
	}{status == http.StatusOK, reasons}) // the client is gone if this fails
}
