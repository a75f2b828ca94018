package master_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/master/api"
	"metronome/system/master/page"
	"metronome/system/master/ship"
)

// onlyStatus is a store of which nothing but the status may be asked.
type onlyStatus struct {
	local.Source
	status edge.Status
}

func (s onlyStatus) Status() edge.Status { return s.status }

// TestDataThatOthersBackUp: an edge that shares a cluster's data reports and ships nothing, and nobody
// complains that there is no backup.
func TestDataThatOthersBackUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	h.begin(func(c *ship.Config) {
		c.Elsewhere, c.Source = true, onlyStatus{status: edge.Status{Kind: "metronome", Revision: 7}}
	})
	w.wait("it reports", func() bool { e := h.show(); return e.Report != nil && e.Report.Revision == 7 })
	h.end()
	e := h.show()
	if e.Level != api.Good || len(e.Findings) > 0 || e.Report.Backup.State != api.Elsewhere {
		t.Errorf("%+v, %+v", e, e.Report)
	}
	if s := h.ship.Stats(); s.BytesSent > 0 || s.Failures > 0 {
		t.Errorf("%+v", s)
	}
	for _, path := range []string{"/", "/edges/hallway"} {
		got := httptest.NewRecorder()
		page.New(w.m.Status).ServeHTTP(got, httptest.NewRequest(http.MethodGet, path, nil))
		if !strings.Contains(got.Body.String(), "its cluster") {
			t.Errorf("%s: %s", path, got.Body)
		}
	}
}
