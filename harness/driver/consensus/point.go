package consensus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"metronome/harness/factorial"
)

// point is what a cell of the experiment sets. Times are virtual ns.
type point struct {
	n, lanes, idle, rounds, repeats int
	delay, fsync, cpu, tick         int64
	length                          int64 // what is measured
	jitter, loss, rate              float64
	fault                           string
}

// Bounds of a point: what costs more virtual or real time than a trial may.
const (
	maxReplicas = 15
	maxLanes    = 1024
	maxLength   = int64(time.Minute)
	maxRate     = 1e6
)

func pointOf(c factorial.Cell) (p point, err error) {
	var errs []error
	number := func(name string, to *int) {
		v, err := c.Int(name)
		*to, errs = v, append(errs, err)
	}
	span := func(name string, to *int64) {
		v, err := c.Duration(name)
		*to, errs = int64(v), append(errs, err)
	}
	share := func(name string, to *float64) {
		v, err := c.Float(name)
		*to, errs = v, append(errs, err)
	}
	number("n", &p.n)
	number("lanes", &p.lanes)
	number("idle", &p.idle)
	number("rounds", &p.rounds)
	number("repeats", &p.repeats)
	span("delay", &p.delay)
	span("fsync", &p.fsync)
	span("cpu", &p.cpu)
	span("tick", &p.tick)
	span("length", &p.length)
	share("jitter", &p.jitter)
	share("loss", &p.loss)
	share("rate", &p.rate)
	target, err1 := c.Get("target")
	fault, err2 := c.Get("fault")
	p.fault = target + "/" + fault
	if err := errors.Join(append(errs, err1, err2)...); err != nil {
		return p, err
	}
	return p, p.check()
}

func (p *point) check() error {
	switch {
	case p.n < 1 || p.n > maxReplicas:
		return fmt.Errorf("n is %d: use 1 to %d replicas", p.n, maxReplicas)
	case p.idle < 0 || p.lanes <= p.idle || p.lanes > maxLanes:
		return fmt.Errorf("%d lanes of which %d are idle: use 1 to %d, and one that is not", p.lanes, p.idle,
			maxLanes)
	case p.rounds < 1 || p.repeats < 1:
		return fmt.Errorf("rounds is %d and repeats is %d: use at least 1", p.rounds, p.repeats)
	case p.delay < 1 || p.tick < 1 || p.length < 1 || p.length > maxLength || p.fsync < 0 || p.cpu < 0:
		return fmt.Errorf("delay, tick and length must be above 0, length at most %v, fsync and cpu not negative",
			time.Duration(maxLength))
	case !(p.loss >= 0 && p.loss <= 0.5 && p.jitter >= 0 && p.jitter <= 10 && p.rate > 0 && p.rate <= maxRate):
		return fmt.Errorf("loss is %v, jitter %v, rate %v: use 0 to 0.5, 0 to 10, and above 0 to %g", p.loss,
			p.jitter, p.rate, maxRate)
	case !slices.Contains(faults, p.fault):
		return fmt.Errorf("target and fault %q: use one of %s", p.fault, strings.Join(faults, ", "))
	}
	return nil
}
