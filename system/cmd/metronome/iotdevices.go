package main

import (
	"context"
	"errors"
	"time"

	"metronome/system/device"
	"metronome/system/home"
)

// iotDevices are the home's devices: their stores, and the house that they measure.
type iotDevices struct {
	house  *home.House
	stores []*device.Device
	lost   uint64 // readings that found a full queue
}

// openDevices opens each device's store, where what was not yet sent is waiting.
func (h *iot) openDevices() (*iotDevices, error) {
	all := &iotDevices{}
	secrets, err := h.secrets()
	if err != nil {
		return all, err
	}
	for _, d := range home.New(home.Config{}).Devices() {
		s, err := device.Open(device.Config{Dir: h.device(d.Name), Client: d.Name, Password: secrets[d.Name],
			Edges: h.edgesOf(d.Name), HTTP: h.client(), RetryMost: 5 * time.Second, MaxBytes: 64 << 20,
			SegmentBytes: 1 << 20})
		if err != nil {
			return all, err
		}
		all.stores = append(all.stores, s)
	}
	return all, nil
}

// edgesOf are the edges that a device may use, its home first.
func (h *iot) edgesOf(device string) []string {
	first := h.plan.home(device)
	list := []string{first.url()}
	for i := range h.plan.Edges {
		if e := &h.plan.Edges[i]; e != first {
			list = append(list, e.url())
		}
	}
	return list
}

// measuring is how often the house is looked at.
const measuring = 100 * time.Millisecond

// measure lets the house live until ctx ends: from the time of the day that it is here, and so many
// times as fast.
func (all *iotDevices) measure(ctx context.Context, p *iotPlan, speed float64) {
	began := time.Now()
	_, zone := began.Zone()
	now := began.Unix() + int64(zone)
	midnight := now - now%(24*3600)
	all.house = home.New(home.Config{Seed: p.Seed, Start: midnight * 1000})
	skipped := (now - midnight) * int64(time.Second)
	all.house.Until(skipped, func(home.Reading) {}) // what was before
	tick := time.NewTicker(measuring)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			all.house.Until(skipped+int64(speed*float64(time.Since(began))), all.write)
		}
	}
}

// write enqueues a reading. It waits for nothing: a house does not.
func (all *iotDevices) write(r home.Reading) {
	if _, err := all.stores[r.Device].Enqueue(device.Write{Key: r.Key, Value: r.Value}); err != nil {
		all.lost++
	}
}

func (all *iotDevices) close() (err error) {
	for _, s := range all.stores {
		err = errors.Join(err, s.Close())
	}
	return err
}
