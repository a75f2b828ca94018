package home

// Kind is what a device is.
type Kind string

// Kinds of devices.
const (
	Climate Kind = "climate" // temperature and humidity of a room, or of outside
	Door    Kind = "door"    // a door or window: open or closed
	Motion  Kind = "motion"  // somebody passes
	Plug    Kind = "plug"    // an appliance's power
	Meter   Kind = "meter"   // the house's connection to the grid
	Solar   Kind = "solar"
	Battery Kind = "battery"
)

// Device is a box with a radio: one client of an edge.
type Device struct {
	Name string // lower-case letters, digits and -
	Room string
	Kind Kind
	Keys []string // that it writes, all under [Prefix] and its name
}

// Prefix is what all keys begin with: home/NAME/QUANTITY.
const Prefix = "home/"

// sensor is one quantity of a device.
type sensor struct {
	device   int
	key      string
	unit     string
	decimals int
	every    int64 // seconds between reports
	phase    int64
	event    bool // says open or closed, when it changes too
	now      func(*House) float64
	said     float64 // of an event
}

// build lists the devices and their sensors.
func (h *House) build() {
	for i := range h.rooms {
		d := h.device("climate-"+h.rooms[i].name, h.rooms[i].name, Climate)
		h.sensor(d, "temperature", "C", 2, 60, func(h *House) float64 { return h.rooms[i].temperature })
		h.sensor(d, "humidity", "%", 1, 60, func(h *House) float64 { return h.rooms[i].humidity })
	}
	d := h.device("climate-outside", "outside", Climate)
	h.sensor(d, "temperature", "C", 2, 60, func(h *House) float64 { return h.weather.temperature })
	h.sensor(d, "humidity", "%", 1, 60, func(h *House) float64 { return h.weather.humidity })
	for i := range h.doors {
		h.event("door-"+doorNames[i], doorNames[i], Door, "open", &h.doors[i].on)
	}
	h.event("motion-hall", "hall", Motion, "somebody", &h.motion.on)
	for i := range h.appliances {
		d := h.device("plug-"+h.appliances[i].name, "kitchen", Plug)
		h.sensor(d, "power", "W", 1, 5, func(h *House) float64 { return h.appliances[i].watts })
	}
	d = h.device("plug-heatpump", "cellar", Plug)
	h.sensor(d, "power", "W", 1, 5, func(h *House) float64 { return h.pump.watts })
	d = h.device("meter", "cellar", Meter)
	h.sensor(d, "grid", "W", 0, 2, func(h *House) float64 { return h.energy.grid })
	h.sensor(d, "load", "W", 0, 10, func(h *House) float64 { return h.energy.load })
	d = h.device("solar", "roof", Solar)
	h.sensor(d, "power", "W", 0, 5, func(h *House) float64 { return h.energy.solar })
	d = h.device("battery", "cellar", Battery)
	h.sensor(d, "power", "W", 0, 10, func(h *House) float64 { return h.energy.battery })
	h.sensor(d, "charge", "%", 1, 30, func(h *House) float64 { return 100 * h.energy.stored / batteryJoules })
}

func (h *House) device(name, room string, kind Kind) int {
	h.devices = append(h.devices, Device{Name: name, Room: room, Kind: kind})
	return len(h.devices) - 1
}

// sensor adds a quantity. Its phase keeps the sensors from speaking all at once.
func (h *House) sensor(device int, quantity, unit string, decimals int, every int64,
	now func(*House) float64) {
	d := &h.devices[device]
	key := Prefix + d.Name + "/" + quantity
	d.Keys = append(d.Keys, key)
	h.sensors = append(h.sensors, sensor{device: device, key: key, unit: unit, decimals: decimals, every: every,
		phase: int64(h.random.between(0, int(every)-1)), now: now})
}

const stillThere = 3600 // seconds between reports of a door that does not move

func (h *House) event(name, room string, kind Kind, quantity string, on *bool) {
	h.sensor(h.device(name, room, kind), quantity, "", 0, stillThere, func(*House) float64 {
		if *on {
			return 1
		}
		return 0
	})
	h.sensors[len(h.sensors)-1].event = true
}
