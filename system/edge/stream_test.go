package edge_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"metronome/system/edge"
)

// events opens a stream and returns its lines, one event a read, until the test ends.
func (s *server) events(query string, headers ...string) *bufio.Reader {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+"/v1/watch?"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return bufio.NewReader(resp.Body)
}

// event reads up to the next event's data, skipping signs of life.
func event(t *testing.T, in *bufio.Reader) (id, name, data string) {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			return id, name, value
		}
	}
}

func TestAStreamTellsEveryChangeOnce(t *testing.T) { overStores(t, aStreamTellsEveryChangeOnce) }

func aStreamTellsEveryChangeOnce(t *testing.T, store edge.Store) {
	s := serve(t, edge.Config{Store: store})
	s.ask("PUT", "/v1/kv/home/a", "1", "Content-Type: text/plain")
	in := s.events("prefix=home/&from=1")
	s.ask("PUT", "/v1/kv/other", "2")
	s.ask("PUT", "/v1/kv/home/b", "\n\n")
	s.ask("DELETE", "/v1/kv/home/a", "")
	for _, want := range []string{"1 put home/a", "3 put home/b", "4 delete home/a"} {
		id, name, data := event(t, in)
		var e struct{ Key string }
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		if got := id + " " + name + " " + e.Key; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if id, _, _ := event(t, s.events("prefix=home/", "Last-Event-ID: 2")); id != "3" {
		t.Errorf("it goes on with %s", id)
	}
}

func TestLongPollWaits(t *testing.T) { overStores(t, longPollWaits) }

func longPollWaits(t *testing.T, store edge.Store) {
	const least = 500 * time.Millisecond
	s := serve(t, edge.Config{Store: store, Limits: edge.Limits{BodyTime: least}})
	patient := serve(t, edge.Config{Store: store})
	answered := make(chan *reply, 1)
	for try := 1; ; try++ {
		go func() { answered <- s.ask("GET", "/v1/watch?from=1&wait=60", "") }()
		select {
		case r := <-answered:
			if r.StatusCode == 408 && try < 20 {
				continue // on a busy machine the request itself may have taken that long
			}
			t.Fatalf("answered at once: %d %s", r.StatusCode, r.body)
		case <-time.After(least * 6 / 5): // longer than a body may take: silence is no end
		}
		break
	}
	patient.ask("PUT", "/v1/kv/a", "1").want(t, 201, "")
	if r := <-answered; !strings.Contains(r.body, `"key":"a"`) || !strings.Contains(r.body, `"next":2`) {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestWatchersAreBounded(t *testing.T) { overStores(t, watchersAreBounded) }

func watchersAreBounded(t *testing.T, store edge.Store) {
	s := serve(t, edge.Config{Store: store, Limits: edge.Limits{Watchers: 1}})
	s.ask("PUT", "/v1/kv/a", "1")
	event(t, s.events("from=1"))
	s.ask("GET", "/v1/watch?wait=0", "").want(t, 503, "busy")
}

func TestClosingEndsStreams(t *testing.T) { overStores(t, closingEndsStreams) }

func closingEndsStreams(t *testing.T, store edge.Store) {
	s := serve(t, edge.Config{Store: store})
	in := s.events("from=1")
	if err := s.edge.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
	}
}

func TestAListingIsFollowedByItsLinks(t *testing.T) { overStores(t, aListingIsFollowedByItsLinks) }

func aListingIsFollowedByItsLinks(t *testing.T, store edge.Store) {
	s := serve(t, edge.Config{Store: store})
	for i := range 25 {
		s.ask("PUT", fmt.Sprintf("/v1/kv/k/%02d", i), fmt.Sprint(i))
	}
	var keys []string
	for path := "/v1/kv?prefix=k/&limit=10&encoding=utf8"; path != ""; {
		r := s.ask("GET", path, "").want(t, 200, "")
		var page struct {
			Items []struct{ Key, Value string }
			Next  string
		}
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			keys = append(keys, e.Key+"="+e.Value)
		}
		s.ask("PUT", "/v1/kv/k/99", "late")
		link, rel, _ := strings.Cut(r.Header.Get("Link"), ">; ")
		path = strings.TrimPrefix(link, "<")
		if path != "" && (rel != `rel="next"` || !strings.Contains(path, url.QueryEscape(page.Next))) {
			t.Errorf("Link %q for next %q", r.Header.Get("Link"), page.Next)
		}
	}
	if len(keys) != 25 || keys[24] != "k/24=24" {
		t.Errorf("%v", keys)
	}
}
