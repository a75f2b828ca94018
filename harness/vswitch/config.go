package vswitch

import "fmt"

// Bounds of a switch (I6).
const (
	MaxPorts  = 64
	MaxQueues = 128
	MaxHosts  = 4096 // addresses learned; more are not learned, and what goes to them is flooded
	MaxGroups = 1024 // groups snooped; more are flooded
	MaxPacket = 2048 // bytes; longer packets are refused
)

// Defaults of [Config].
const (
	DefaultHeld     = 32768
	DefaultMaxAge   = int64(300e9) // ns; 802.1D's
	DefaultQueryGap = int64(10e9)  // ns
)

// Config describes a switch. Only Ports is needed.
type Config struct {
	Ports []Port
	Seed  uint64 // of all chance
	// Flood sends multicast to every port, instead of those that reported membership. Groups that
	// nobody reported, and 224.0.0.0/24, are flooded in any case.
	Flood bool
	// Held bounds the packets held back at one time, 2 KiB each; 0 means DefaultHeld.
	Held int
	// MaxAge is how long, in ns, an address is remembered that is not heard of; 0 means DefaultMaxAge.
	// Membership of a group lasts three QueryGaps.
	MaxAge int64
	// QueryGap is the time between membership queries in ns; 0 means DefaultQueryGap.
	QueryGap int64
	// Key is the hash key, 40 bytes; nil means Microsoft's.
	Key []byte
}

// Port is one port of the switch.
type Port struct {
	Name   string
	Queues int // of the host behind it, to be chosen by hash; 0 means 1
}

// withDefaults fills in zero fields and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if n := len(c.Ports); n < 1 || n > MaxPorts {
		return c, fmt.Errorf("vswitch: %d ports: use 1 to %d", n, MaxPorts)
	}
	names := map[string]bool{}
	ports := make([]Port, len(c.Ports))
	for i, p := range c.Ports {
		if p.Queues == 0 {
			p.Queues = 1
		}
		switch {
		case p.Name == "" || p.Name == "*":
			return c, fmt.Errorf("vswitch: port %d is named %q: give it a name", i, p.Name)
		case names[p.Name]:
			return c, fmt.Errorf("vswitch: two ports are named %s", p.Name)
		case p.Queues < 1 || p.Queues > MaxQueues:
			return c, fmt.Errorf("vswitch: port %s has %d queues: use 1 to %d", p.Name, p.Queues, MaxQueues)
		}
		names[p.Name] = true
		ports[i] = p
	}
	c.Ports = ports
	if c.Held == 0 {
		c.Held = DefaultHeld
	}
	if c.Held < 1 || c.Held > 1<<20 {
		return c, fmt.Errorf("vswitch: %d packets held: use 1 to %d", c.Held, 1<<20)
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.QueryGap == 0 {
		c.QueryGap = DefaultQueryGap
	}
	if c.Key == nil {
		c.Key = MicrosoftKey[:]
	}
	if len(c.Key) != len(MicrosoftKey) {
		return c, fmt.Errorf("vswitch: a hash key of %d bytes: use %d", len(c.Key), len(MicrosoftKey))
	}
	return c, nil
}
