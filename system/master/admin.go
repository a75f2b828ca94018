package master

import (
	"net/http"
	"time"

	"metronome/system/master/api"
)

// jobLimit is how long a command may wait for a drill or a check.
const jobLimit = 12 * time.Hour

// AdminHandler serves the commands on this machine. It knows no passwords: who reaches it may do
// all.
//
//	GET  /v1/status
//	POST /v1/edges/E/drill    restore the newest backup into a scratch directory
//	POST /v1/edges/E/check    read everything again
func (m *Master) AdminHandler() http.Handler {
	t := routes{m: m, mux: http.NewServeMux()}
	t.handle("GET /v1/status", smallLimit, func(w http.ResponseWriter, _ *http.Request) error {
		return reply(w, http.StatusOK, m.Status())
	})
	t.handle("POST /v1/edges/{edge}/drill", jobLimit, func(w http.ResponseWriter, r *http.Request) error {
		b, err := m.member(r.PathValue("edge"))
		if err != nil {
			return err
		}
		d, err := b.drillNow(r.Context(), "asked for")
		if err != nil {
			return err
		}
		return reply(w, http.StatusOK, DrillReply{d, b.proven()})
	})
	t.handle("POST /v1/edges/{edge}/check", jobLimit, func(w http.ResponseWriter, r *http.Request) error {
		b, err := m.member(r.PathValue("edge"))
		if err != nil {
			return err
		}
		c, err := b.checkAll(r.Context())
		if err != nil {
			return err
		}
		return reply(w, http.StatusOK, c)
	})
	return t
}

func (b *member) proven() *api.Proof {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proof
}

// DrillReply answers a drill that was asked for.
type DrillReply struct {
	Drill *api.Drill `json:"drill"`
	Proof *api.Proof `json:"last_proven,omitempty"`
}
