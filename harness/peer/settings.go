package peer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"metronome/system/cluster"
)

// Settings are what an experiment changes in a system, by name: those of a cluster of ours are the knobs
// of its cluster file. A peer that does not know one refuses it.
type Settings map[string]string

// ParseSettings reads name=value,name=value; empty text is no settings.
func ParseSettings(text string) (Settings, error) {
	s := Settings{}
	for pair := range strings.SplitSeq(text, ",") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("setting %q: use name=value", pair)
		}
		s[name] = value
	}
	return s, nil
}

// Replicas is how many replicas are asked for: 3, unless told.
func (s Settings) Replicas() (int, error) {
	text, ok := s["replicas"]
	if !ok {
		return 3, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 15 || n%2 == 0 {
		return 0, fmt.Errorf("setting replicas=%s: use an odd number, 1 to 15", text)
	}
	return n, nil
}

// only refuses settings that are none of names.
func (s Settings) only(what string, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%s has no setting %q (there is: %s)", what, name, strings.Join(names, ", "))
		}
	}
	return nil
}

// knobs are the settings of a cluster file beside replicas.
var knobs = map[string]func(c *cluster.Config, text string) error{
	"lanes": func(c *cluster.Config, text string) error {
		for i := range c.Proxies {
			if err := integer(&c.Proxies[i].Lanes, text); err != nil {
				return err
			}
		}
		return nil
	},
	"multicast": func(c *cluster.Config, text string) error { c.Multicast.Mode = text; return nil },
	"round_interval": func(c *cluster.Config, text string) error {
		return duration(&c.Timing.RoundInterval, text)
	},
	"force_round_interval": func(c *cluster.Config, text string) (err error) {
		c.Experiment.ForceRoundInterval, err = strconv.ParseBool(text)
		return err
	},
	"apply_per_item": func(c *cluster.Config, text string) error {
		return duration(&c.Experiment.ApplyPerItem, text)
	},
	"frames_per_second": func(c *cluster.Config, text string) error {
		return integer(&c.Experiment.FramesPerSecond, text)
	},
	"lane_window_frames": func(c *cluster.Config, text string) error {
		return integer(&c.Limits.LaneWindowFrames, text)
	},
	"lane_arena_bytes": func(c *cluster.Config, text string) error {
		return integer(&c.Limits.LaneArenaBytes, text)
	},
	"receive_buffer": func(c *cluster.Config, text string) error { return integer(&c.Port.ReceiveBuffer, text) },
	"value_bytes":    func(c *cluster.Config, text string) error { return integer(&c.Limits.Value, text) },
	"durability":     func(c *cluster.Config, text string) error { c.Durability = text; return nil },
	"fsync_each_frame": func(c *cluster.Config, text string) (err error) {
		c.Experiment.FsyncEachFrame, err = strconv.ParseBool(text)
		return err
	},
}

// inMemory is the durability of a cluster of ours that is asked for none: most of what it is compared with
// keeps its state in memory. [Settings] say otherwise.
const inMemory = "memory"

// place is where a cluster's data belong: what must be durable on disk, the rest anywhere.
func (s Settings) place() string {
	if d, ok := s["durability"]; ok && d != inMemory {
		return diskDir
	}
	return memoryDir
}

// SettingNames are the settings of our own store.
func SettingNames() []string {
	return append([]string{"replicas"}, slices.Sorted(maps.Keys(knobs))...)
}

// Change turns the settings into a change of a cluster file; *failed is its first error.
func (s Settings) Change(failed *error) func(*cluster.Config) {
	return func(c *cluster.Config) {
		c.Durability = inMemory
		for _, name := range slices.Sorted(maps.Keys(s)) {
			if set := knobs[name]; set != nil && *failed == nil {
				if err := set(c, s[name]); err != nil {
					*failed = fmt.Errorf("setting %s=%s: %w", name, s[name], err)
				}
			}
		}
		lanes := cluster.Bytes(0)
		for i := range c.Proxies {
			lanes += cluster.Bytes(c.Proxies[i].Lanes)
		}
		c.Limits.RetainBytes = max(c.Limits.RetainBytes, lanes*c.Limits.LaneArenaBytes)
	}
}

func integer[T ~int | ~int64](to *T, text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	*to = T(n)
	return err
}

func duration(to *time.Duration, text string) (err error) {
	*to, err = time.ParseDuration(text)
	return err
}
