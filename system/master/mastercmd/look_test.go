package mastercmd

import (
	"context"
	"errors"
	"testing"

	"metronome/system/master/api"
)

// TestWhoAsksForWhatIsRunningHasHisTurn: a drill that the server began by itself is waited for, and nothing
// else is.
func TestWhoAsksForWhatIsRunningHasHisTurn(t *testing.T) {
	running, other := api.NewProblem("running", "A drill runs."), errors.New("no such edge")
	for name, want := range map[string][]error{
		"at once": {nil}, "after two": {running, running, nil}, "another error": {running, other},
	} {
		asked := 0
		err := afterwards(t.Context(), func() error {
			asked++
			return want[asked-1]
		})
		if asked != len(want) || !errors.Is(err, want[asked-1]) {
			t.Errorf("%s: asked %d times, %v", name, asked, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := afterwards(ctx, func() error { return running }); !errors.Is(err, running) {
		t.Errorf("given up: %v", err)
	}
}
