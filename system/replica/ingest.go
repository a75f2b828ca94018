package replica

import (
	"fmt"

	"metronome/system/lane"
	"metronome/system/packet"
)

// IngestCore joins a port and the lanes that one core serves. It belongs to one goroutine, which
// should be locked to a thread pinned to a CPU.
type IngestCore struct {
	Port  packet.Port
	Lanes *lane.Ingest

	Polls uint64 // bursts asked for
	Empty uint64 // of these, without a frame

	frames [][]byte
}

// NewIngestCore makes a core that asks the port for up to burst frames at once.
func NewIngestCore(port packet.Port, lanes *lane.Ingest, burst int) (*IngestCore, error) {
	if burst < 1 || burst > packet.MaxBurst {
		return nil, fmt.Errorf("a burst of %d frames: use 1 to %d", burst, packet.MaxBurst)
	}
	return &IngestCore{Port: port, Lanes: lanes, frames: make([][]byte, burst)}, nil
}

// Poll takes one burst through the pipeline and returns how many frames it held. What reaches the
// watermark is released at once: nothing consumes it yet.
func (c *IngestCore) Poll() (int, error) {
	n, err := c.receive()
	if n == 0 {
		return 0, err
	}
	for _, f := range c.frames[:n] {
		c.Lanes.Frame(f)
	}
	c.Lanes.TrimAll()
	return n, err
}

// Discard takes one burst and throws it away unseen: the pipeline's null, to measure what a port
// costs by itself.
func (c *IngestCore) Discard() (int, error) { return c.receive() }

func (c *IngestCore) receive() (int, error) {
	n, err := c.Port.Recv(c.frames)
	c.Polls++
	if n == 0 {
		c.Empty++
	}
	return n, err
}
