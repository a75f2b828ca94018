package rss

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"metronome/harness/driver/rss/worker"
	"metronome/harness/factorial"
	"metronome/harness/load"
	"metronome/harness/model"
)

// calibrationLength is how long each stage is measured.
const calibrationLength = 60 * time.Millisecond

// calibration measures this machine, once a session and shape of frames.
func (s *session) calibration(ctx context.Context, t trial) (c *worker.Calibration, err error) {
	key := strconv.Itoa(t.items) + "/" + strconv.Itoa(t.lanes)
	if c := s.calibrations[key]; c != nil {
		return c, nil
	}
	t.wire = worker.Replay
	p, err := s.start(ctx, "calibrate", t.arguments("calibrate")...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.ready(); err != nil {
		return nil, err
	}
	if err := p.tell(load.Run{Cmd: "run", DurationNS: int64(calibrationLength)}); err != nil {
		return nil, err
	}
	c = &worker.Calibration{}
	if err := p.hear(c); err != nil {
		return nil, err
	}
	s.calibrations[key] = c
	return c, nil
}

// predict asks the model.
func (s *session) predict(ctx context.Context, t trial) (o factorial.Outcome, err error) {
	c, err := s.calibration(ctx, t)
	if err != nil {
		return o, err
	}
	return t.calculate(c)
}

// calculate is a prediction from a calibration, beside one that is as much worse as the model was wrong
// about what it was not fitted to: the calibration's second measurement.
func (t *trial) calculate(c *worker.Calibration) (o factorial.Outcome, err error) {
	law, err := model.FitUSL(c.Cores, c.Rates)
	if err != nil {
		return o, err
	}
	wrong := 0.0
	for i, n := range c.Cores {
		wrong = math.Max(wrong, math.Abs(law.At(n)/c.Again[i]-1))
	}
	worse := append([]float64(nil), c.Rates...)
	for i, n := range c.Cores {
		if n > 1 {
			worse[i] /= 1 + wrong
		}
	}
	low, err := model.FitUSL(c.Cores, worse)
	if err != nil {
		return o, err
	}
	shape := load.Shape{Items: t.items, KeyBytes: keyBytes, ValueBytes: valueBytes}
	server := model.Server{Cores: t.cores, Software: t.distribution == software, Link: t.gbit * 1e9,
		Frame: float64(shape.FrameBytes()), Items: float64(t.items), Receive: t.receive * 1e-9,
		Pipeline: c.Pipeline * 1e-9, Hand: c.Hand * 1e-9, Take: c.Take * 1e-9, Scale: law,
		Memory: c.Memory * t.memories, Crosses: t.crosses}
	best := server.Intake()
	server.Scale = low
	server.Pipeline *= 1 + wrong
	least := server.Intake()
	o.Values = map[string]float64{
		"frames_per_s": best.Frames, "items_per_s": best.Items, "items_per_s_low": least.Items,
		"core_frames_per_s": best.Frames / float64(t.cores), "model_error": wrong,
		"contention": law.Contention, "coherence": law.Coherence, "usl_points": float64(law.Points),
		"pipeline_ns": c.Pipeline, "hand_ns": c.Hand, "take_ns": c.Take, "memory_gb_per_s": c.Memory / 1e9,
	}
	o.Flags = []string{"calculated", "limit_" + best.Limit}
	return o, nil
}
