package history

import (
	"fmt"
	"io"
	"time"

	"github.com/anishathalye/porcupine"
)

// Visualize draws the operations of a finding's key in time, with the longest order that explains any of
// them, as a page of HTML that a browser shows: porcupine's.
func Visualize(w io.Writer, h *History, f *Finding) error {
	model := searchModel(nil)
	model.DescribeOperation = func(in, out any) string {
		r := in.(*request)
		s := ""
		for i := range r.calls {
			s += r.calls[i].String()
			if answers := out.([]Answer); i < len(answers) && !r.open {
				s += " → " + answers[i].String()
			}
		}
		if r.open {
			s += " → unknown"
		}
		return s
	}
	model.DescribeState = func(s any) string { return fmt.Sprint(len(s.(named).keys), " keys") }
	ops := keyRequests(h, f.Key, placesOf(h)[f.Key])
	_, info := porcupine.CheckOperationsVerbose(model, ops, drawLimit)
	if err := porcupine.Visualize(model, info, w); err != nil {
		return fmt.Errorf("draw key %s: %w", brief(f.Key), err)
	}
	return nil
}

// drawLimit bounds the search that a drawing repeats.
const drawLimit = 10 * time.Second
