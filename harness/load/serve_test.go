package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestServe(t *testing.T) {
	in := strings.NewReader(`{"cmd":"run","rate_fps":100,"start_ns":5,"duration_ns":7,"incarnation":3}` + "\n" +
		`{"cmd":"stop"}` + "\n" + `{"cmd":"run"}` + "\n")
	var out bytes.Buffer
	var asked []Run
	err := Serve(in, &out, func(_ context.Context, r Run) (Done, error) {
		asked = append(asked, r)
		return Done{Emitted: 9, RingFull: 2}, nil
	})
	if err != nil || len(asked) != 1 || asked[0].RateFPS != 100 || asked[0].Incarnation != 3 {
		t.Fatalf("%v, asked %+v", err, asked)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var done Done
	if len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &done) != nil || done.Emitted != 9 ||
		done.Event != "done" {
		t.Errorf("said %q", lines)
	}
}

// A run that fails is answered with its error before the generator ends.
func TestServeTellsWhyARunFailed(t *testing.T) {
	var out bytes.Buffer
	failure := errors.New("no link")
	err := Serve(strings.NewReader(`{"cmd":"run"}`+"\n"), &out, func(context.Context, Run) (Done, error) {
		return Done{}, failure
	})
	if !errors.Is(err, failure) || !strings.Contains(out.String(), `"error":"no link"`) {
		t.Errorf("%v, said %q", err, out.String())
	}
	if Serve(strings.NewReader("garbage\n"), &out, nil) == nil {
		t.Error("garbage was taken for a command")
	}
}
