package home

import (
	"math"
	"strconv"
)

// Config decides all that a house will ever say.
type Config struct {
	Seed uint64
	// Start is the house's clock at now 0: milliseconds since 1970, of local time and without leaps.
	Start int64
}

// Reading is one thing that a sensor says.
type Reading struct {
	Device int    // its number in Devices
	Key    string // in the store
	Value  []byte // JSON: {"at":ms,"value":21.5,"unit":"C"}, or {"at":ms,"value":true}; good until emit returns
	At     int64  // the house's clock, ms
	Number float64
}

// House is a home and its sensors. It is not safe for concurrent use.
type House struct {
	start  int64 // second of the house's clock
	second int64 // the next to simulate
	random random

	weather    weather
	rooms      []room
	doors      [4]switched
	motion     switched
	appliances []appliance
	pump       pump
	energy     energy

	devices []Device
	sensors []sensor
	buffer  []byte
}

var doorNames = [...]string{"front", "terrace", "garage", "window"}

// New makes a house.
func New(cfg Config) *House {
	h := &House{start: floorDiv(cfg.Start, 1000), random: random{cfg.Seed}, appliances: newAppliances()}
	h.second = h.start
	h.weather = newWeather(&h.random)
	h.weather.step(h.start, &h.random)
	h.rooms = newRooms(&h.random, h.weather.temperature)
	h.doors = [4]switched{
		{habit: &passing, most: 4, from: 3, to: 15, pause: 20},
		{habit: &cooking, most: 3, from: 5, to: 60, pause: 60},
		{habit: &washing, most: 2, from: 10, to: 40, pause: 120},
		{habit: &bathing, most: 1, from: 180, to: 600, pause: 1},
	}
	h.motion = switched{habit: &moving, most: 6, from: 2, to: 8, pause: 30}
	h.energy.stored = batteryJoules * (0.2 + 0.6*h.random.uniform())
	h.build()
	return h
}

// Devices are the house's: always the same twenty, in the same order.
func (h *House) Devices() []Device { return h.devices }

const nanos = 1_000_000_000 // of a second

// Until simulates the house up to now, ns since Start, and emits what its sensors say meanwhile, oldest
// first. How often it is called changes nothing but when readings are emitted.
func (h *House) Until(now int64, emit func(Reading)) {
	for last := h.start + floorDiv(now, nanos); h.second <= last; h.second++ {
		h.step()
		for i := range h.sensors {
			h.report(&h.sensors[i], emit)
		}
	}
}

// step is one second of the house.
func (h *House) step() {
	r := &h.random
	h.weather.step(h.second, r)
	for i := range h.doors {
		h.doors[i].step(h.second, r)
	}
	h.motion.step(h.second, r)
	load := 140.0 // lights, routers, and what else has no plug that measures
	for i := range h.appliances {
		h.appliances[i].step(h.second, r)
		load += h.appliances[i].watts
	}
	h.pump.step(h.weather.temperature, r)
	h.energy.step(load+h.pump.watts, h.weather.sun)
	for i := range h.rooms {
		open := i == 0 && h.doors[1].on || i == 3 && h.doors[3].on // terrace: living room; window: bath
		h.rooms[i].step(h.second, h.weather.temperature, open, r)
	}
}

// report says what a sensor measures, if it is time or something happened.
func (h *House) report(s *sensor, emit func(Reading)) {
	value := s.now(h)
	due := (h.second+s.phase)%s.every == 0
	if !due && (!s.event || value == s.said) {
		return
	}
	s.said = value
	at := h.second * 1000
	h.buffer = s.encode(h.buffer[:0], at, value)
	emit(Reading{Device: s.device, Key: s.key, Value: h.buffer, At: at, Number: value})
}

func (s *sensor) encode(dst []byte, at int64, value float64) []byte {
	dst = strconv.AppendInt(append(dst, `{"at":`...), at, 10)
	dst = append(dst, `,"value":`...)
	if s.event {
		return append(strconv.AppendBool(dst, value != 0), '}')
	}
	scale := math.Pow10(s.decimals)
	dst = strconv.AppendFloat(dst, math.Round(value*scale)/scale+0, 'f', s.decimals, 64) // +0: no "-0"
	dst = append(append(dst, `,"unit":"`...), s.unit...)
	return append(dst, `"}`...)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
