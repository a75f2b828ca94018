package spec

import (
	"fmt"
	"strconv"

	"metronome/harness/load"
	"metronome/system/packet"
	"metronome/system/wire"
)

// Factors is a cell whose every factor is a number: what a trial is run with.
type Factors struct {
	KeyBytes, ValueBytes int
	Items                int
	Burst                int
	Mode                 wire.Mode
	Hugepages            bool
	Lanes                int
}

// keyBytes is how an item's bytes divide: 16 = 8 + 8, larger ones have keys of 16 bytes.
func keyBytes(item int) int {
	if item <= 16 {
		return item / 2
	}
	return 16
}

// Resolve checks a cell and turns its words into numbers.
func (c Cell) Resolve() (Factors, error) {
	f := Factors{Burst: c.Burst, Hugepages: c.Hugepages, Lanes: c.Lanes}
	if c.ItemBytes < 2 || c.ItemBytes > wire.MaxPayload-wire.ItemHeader {
		return f, fmt.Errorf("item_bytes %d: use 2 to %d", c.ItemBytes, wire.MaxPayload-wire.ItemHeader)
	}
	f.KeyBytes = keyBytes(c.ItemBytes)
	f.ValueBytes = c.ItemBytes - f.KeyBytes
	most := load.ItemsPerFrame(f.KeyBytes, f.ValueBytes)
	var err error
	if f.Items = most; c.Items != "max" {
		if f.Items, err = strconv.Atoi(c.Items); err != nil || f.Items < 1 || f.Items > most {
			return f, fmt.Errorf("items %q of %d bytes a frame: use 1 to %d, or max", c.Items, c.ItemBytes, most)
		}
	}
	if f.Burst < 1 || f.Burst > packet.MaxBurst {
		return f, fmt.Errorf("burst %d: use 1 to %d", f.Burst, packet.MaxBurst)
	}
	if f.Lanes < 1 || f.Lanes > 64 {
		return f, fmt.Errorf("lanes %d: use 1 to 64", f.Lanes)
	}
	f.Mode, err = wire.ParseMode(c.Digest)
	return f, err
}

// String is the cell in canonical order: equal strings are equal cells.
func (f Factors) String() string {
	s := fmt.Sprintf("item_bytes=%d items=%d burst=%d digest=%s lanes=%d",
		f.KeyBytes+f.ValueBytes, f.Items, f.Burst, f.Mode, f.Lanes)
	if f.Hugepages {
		s += " hugepages"
	}
	return s
}

// Shape is what the generators send for these factors.
func (f Factors) Shape() load.Shape {
	return load.Shape{Items: f.Items, KeyBytes: f.KeyBytes, ValueBytes: f.ValueBytes, Lanes: f.Lanes,
		Mode: f.Mode}
}

// with is the cell with one factor set to a value.
func (c Cell) with(factor, value string) (Cell, error) {
	var err error
	switch factor {
	case "items":
		c.Items = value
	case "digest":
		c.Digest = value
	case "hugepages":
		c.Hugepages, err = strconv.ParseBool(value)
	case "item_bytes":
		c.ItemBytes, err = strconv.Atoi(value)
	case "burst":
		c.Burst, err = strconv.Atoi(value)
	case "lanes":
		c.Lanes, err = strconv.Atoi(value)
	}
	if err != nil {
		return c, fmt.Errorf("%s %q: %w", factor, value, err)
	}
	return c, nil
}

// cells is the cells of a slice.
func (e *Experiment) cells(s Slice) (cells []Factors, err error) {
	for _, v := range s.Values {
		c, err := e.Primary.with(s.Factor, v)
		if err != nil {
			return nil, fmt.Errorf("slice %s: %w", s.Factor, err)
		}
		f, err := c.Resolve()
		if err != nil {
			return nil, fmt.Errorf("slice %s: %w", s.Factor, err)
		}
		cells = append(cells, f)
	}
	return cells, nil
}
