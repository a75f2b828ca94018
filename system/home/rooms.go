package home

// room is the climate of one.
type room struct {
	name    string
	day     float64 // °C that people want by day
	night   float64
	damp    float64 // % of humidity that it has on average
	outside float64 // how much the outside counts, 0 to 1
	shower  bool

	noise       drift
	temperature float64
	humidity    float64
	steam       float64 // % that a shower has left
	showering   int     // seconds that one goes on
}

func newRooms(r *random, outside float64) []room {
	rooms := []room{
		{name: "living", day: 21.5, night: 18.5, damp: 45, outside: 0.05},
		{name: "kitchen", day: 21, night: 18.5, damp: 48, outside: 0.06},
		{name: "bedroom", day: 18.5, night: 17.5, damp: 50, outside: 0.06},
		{name: "bath", day: 22.5, night: 19, damp: 55, outside: 0.03, shower: true},
		{name: "cellar", day: 15, night: 15, damp: 65, outside: 0.2},
	}
	for i := range rooms {
		m := &rooms[i]
		m.noise = newDrift(3600, r)
		m.temperature = m.target(outside, 12)
		m.humidity = m.damp
	}
	return rooms
}

// target is where a room's temperature goes.
func (m *room) target(outside, hour float64) float64 {
	wanted := m.night
	if hour >= 5.5 && hour < 22 {
		wanted = m.day
	}
	return wanted + m.outside*(outside-wanted)
}

const roomSeconds = 2 * 3600 // in which a room follows its target

func (m *room) step(second int64, outside float64, open bool, r *random) {
	m.noise.step(r)
	draught := 0.0
	if open {
		draught = (outside - m.temperature) / 1800
	}
	m.temperature += (m.target(outside, hourOf(second))+0.3*m.noise.value-m.temperature)/roomSeconds + draught
	m.bathe(second, r)
	m.humidity = bound(m.damp-1.5*(m.temperature-m.day)+2*m.noise.value+m.steam, 15, 99)
}

func (m *room) bathe(second int64, r *random) {
	m.steam -= m.steam / 1500
	if !m.shower {
		return
	}
	if m.showering > 0 {
		m.showering--
		m.steam += (38 - m.steam) / 240
	} else if bathing.happens(second, r) {
		m.showering = r.between(240, 720)
	}
}
