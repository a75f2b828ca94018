package home

// appliance is something with a plug: a cycle of its own, or programs that people start.
type appliance struct {
	name  string
	habit *habit
	steps []step // of a program
	idle  float64

	at    int // step; len(steps) = not running
	left  int // seconds of the step
	watts float64
}

type step struct {
	watts    float64
	from, to int // seconds
}

// newAppliances are those with a plug that measures.
func newAppliances() []appliance {
	list := []appliance{
		{name: "fridge", steps: []step{{95, 600, 900}, {3, 1200, 1900}}}, // no habit: for ever
		{name: "kettle", habit: &boiling, idle: 0.4, steps: []step{{2050, 90, 240}}},
		{name: "oven", habit: &cooking, idle: 1.5, steps: []step{{2300, 420, 600}, {40, 120, 240}, {2300, 90, 180},
			{40, 180, 300}, {2300, 90, 180}, {40, 240, 600}}},
		{name: "washer", habit: &washing, idle: 0.8, steps: []step{{120, 300, 420}, {2050, 700, 1100},
			{180, 2400, 3000}, {420, 480, 600}}},
		{name: "television", habit: &viewing, idle: 0.5, steps: []step{{110, 1800, 9000}}},
	}
	for i := range list {
		list[i].at = len(list[i].steps)
	}
	return list
}

func (a *appliance) step(second int64, r *random) {
	if a.left > 0 {
		a.left--
	}
	if a.left == 0 {
		a.advance(second, r)
	}
	a.watts = a.idle
	if a.at < len(a.steps) {
		a.watts = a.steps[a.at].watts * (1 + 0.01*r.normal())
	}
}

// advance begins the next step, or waits for people.
func (a *appliance) advance(second int64, r *random) {
	if a.at < len(a.steps) {
		a.at++
	}
	if a.at == len(a.steps) && (a.habit == nil || a.habit.happens(second, r)) {
		a.at = 0
	}
	if a.at < len(a.steps) {
		a.left = r.between(a.steps[a.at].from, a.steps[a.at].to)
	}
}

// pump is a heat pump: on and off, the more on the colder it is.
type pump struct {
	on    bool
	left  int
	watts float64
}

func (p *pump) step(outside float64, r *random) {
	if p.left > 0 {
		p.left--
	} else {
		need := bound((17-outside)/25, 0, 1)
		p.on = !p.on && need > 0
		p.left = r.between(500, 700)
		if p.on {
			p.left = int(float64(p.left) * need * 3)
		}
	}
	p.watts = 6
	if p.on {
		p.watts = 1450 * (1 + 0.02*r.normal())
	}
}

// The roof and the battery.
const (
	roofWatts     = 6000
	batteryWatts  = 3000
	batteryJoules = 10 * 3600 * 1000 // 10 kWh
	batteryFloor  = 0.05             // of it are never used
)

// energy is where power comes from and goes to.
type energy struct {
	load, solar, grid float64 // W; the grid's is negative while it takes
	battery           float64 // W, positive while it charges
	stored            float64 // J
}

// step balances one second.
func (e *energy) step(load, sun float64) {
	e.load, e.solar = load, roofWatts*sun
	e.battery = bound(e.solar-e.load, -batteryWatts, batteryWatts)
	e.battery = bound(e.battery, batteryFloor*batteryJoules-e.stored, batteryJoules-e.stored)
	e.stored += e.battery
	e.grid = e.load - e.solar + e.battery
}
