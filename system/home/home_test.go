package home

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	hour   = int64(3600 * nanos)
	day    = 24 * hour
	june   = int64(1_782_000_000_000 / 86_400_000 * 86_400_000) // a midnight in June 2026
	winter = june + 183*86_400_000
)

// spoken is a reading that may be kept.
type spoken struct {
	Reading
	text string
}

func listen(h *House, until int64) (all []spoken) {
	h.Until(until, func(r Reading) {
		all = append(all, spoken{r, string(r.Value)})
	})
	return all
}

// TestADay is what a summer's and a winter's day look like, hour by hour, for people to look at.
func TestADay(t *testing.T) {
	for name, start := range map[string]int64{"june": june, "december": winter} {
		t.Run(name, func(t *testing.T) {
			all := listen(New(Config{Seed: 7, Start: start}), day-1)
			golden(t, name+".txt", table(all)+"\nthe first\n"+first(all, 30))
		})
	}
}

func table(all []spoken) string {
	var b strings.Builder
	b.WriteString("hour outside living bath% load-W solar-W grid-W charge% opened readings\n")
	for hour := range 24 {
		sum, n := map[string]float64{}, map[string]float64{}
		opened, readings := 0, 0
		for _, r := range all {
			if int(hourOf(r.At/1000)) != hour {
				continue
			}
			sum[r.Key] += r.Number
			n[r.Key]++
			readings++
			if strings.HasPrefix(r.Key, "home/door-") && r.Number == 1 {
				opened++
			}
		}
		mean := func(key string) float64 { return sum["home/"+key] / n["home/"+key] }
		fmt.Fprintf(&b, "%4d %7.1f %6.1f %5.0f %6.0f %7.0f %6.0f %7.0f %6d %8d\n", hour,
			mean("climate-outside/temperature"), mean("climate-living/temperature"), mean("climate-bath/humidity"),
			mean("meter/load"), mean("solar/power"), mean("meter/grid"), mean("battery/charge"), opened, readings)
	}
	return b.String()
}

func first(all []spoken, n int) string {
	var b strings.Builder
	for _, r := range all[:n] {
		fmt.Fprintf(&b, "%s %s\n", r.Key, r.text)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s: %v; if it is meant: go test ./system/home -update\n%s", path, err, got)
	}
}

// TestTheSeedDecidesEverything: whatever the cadence of calls.
func TestTheSeedDecidesEverything(t *testing.T) {
	for seed := range uint64(2) {
		cfg := Config{Seed: seed, Start: june + int64(seed)*3_600_000}
		whole := listen(New(cfg), 2*hour)
		pieces, h, cuts := []spoken(nil), New(cfg), random{seed}
		for now := int64(0); now < 2*hour; now += int64(cuts.between(1, 90*nanos)) {
			pieces = append(pieces, listen(h, now)...)
			pieces = append(pieces, listen(h, now-hour)...) // a clock that goes back brings nothing
		}
		pieces = append(pieces, listen(h, 2*hour)...)
		same := func(a, b spoken) bool { return a.At == b.At && a.Key == b.Key && a.text == b.text }
		if !slices.EqualFunc(whole, pieces, same) {
			t.Errorf("seed %d: %d readings at once, %d in pieces", seed, len(whole), len(pieces))
		}
		if other := listen(New(Config{Seed: seed + 100, Start: cfg.Start}), hour); slices.EqualFunc(other,
			whole[:min(len(whole), len(other))], same) {
			t.Errorf("seeds %d and %d say the same", seed, seed+100)
		}
	}
}

// TestTheHouseHoldsTogether looks at every second of some days.
func TestTheHouseHoldsTogether(t *testing.T) {
	for _, start := range []int64{winter, -1_000} {
		h := New(Config{Seed: uint64(start), Start: start})
		for s := int64(0); s < daySeconds; s++ {
			h.Until(s*nanos, func(Reading) {})
			if why := h.wrong(); why != "" {
				t.Fatalf("start %d, second %d: %s: %+v, %+v", start, s, why, h.energy, h.weather)
			}
		}
	}
}

// wrong says what cannot be in a house.
func (h *House) wrong() string {
	e, w := &h.energy, &h.weather
	o := hourOf(h.second)
	switch {
	case math.Abs(e.load-e.solar+e.battery-e.grid) > 1e-6:
		return "power from nowhere"
	case e.stored < batteryFloor*batteryJoules-1 || e.stored > batteryJoules+1:
		return "the battery's charge"
	case math.Abs(e.battery) > batteryWatts:
		return "the battery's power"
	case e.battery > 0 && e.grid > 1:
		return "the battery charges from the grid"
	case e.solar < 0 || e.solar > roofWatts || (o < 3 || o > 22.5) && e.solar != 0:
		return "the sun"
	case e.load < 100 || e.load > 12_000:
		return "the load"
	case w.temperature < -30 || w.temperature > 45 || w.humidity < 0 || w.humidity > 100:
		return "the weather"
	}
	for i := range h.rooms {
		if m := &h.rooms[i]; m.temperature < 5 || m.temperature > 32 || m.humidity < 0 || m.humidity > 100 {
			return "the climate of " + m.name
		}
	}
	return ""
}

// TestReadings: their order, keys, text, rates, and that doors open and close in turn.
func TestReadings(t *testing.T) {
	h := New(Config{Seed: 3, Start: june})
	all := listen(h, day-1)
	perKey, last := map[string]int{}, map[string]spoken{}
	for i, r := range all {
		var v struct {
			At    int64
			Value any
			Unit  string
		}
		if i%16 == 0 && (json.Unmarshal([]byte(r.text), &v) != nil || v.At != r.At) {
			t.Fatalf("%s is no JSON", r.text)
		}
		if i > 0 && r.At < all[i-1].At {
			t.Fatalf("%d after %d", r.At, all[i-1].At)
		}
		if before, ok := last[r.Key]; ok && before.At == r.At {
			t.Fatalf("%s says two things at %d", r.Key, r.At)
		}
		perKey[r.Key]++
		last[r.Key] = r
		if !slices.Contains(h.Devices()[r.Device].Keys, r.Key) {
			t.Fatalf("%s is not of %v", r.Key, h.Devices()[r.Device])
		}
	}
	for _, d := range h.Devices() {
		for _, key := range d.Keys {
			n := perKey[key]
			if d.Kind == Door || d.Kind == Motion {
				if n < 24 || n > 1000 {
					t.Errorf("%s spoke %d times in a day", key, n)
				}
			} else if every := daySeconds / n; every < 2 || every > 60 || daySeconds%n != 0 {
				t.Errorf("%s spoke %d times in a day", key, n)
			}
		}
	}
	if rate := float64(len(all)) / daySeconds; rate < 1 || rate > 5 {
		t.Errorf("%.1f readings a second", rate)
	}
}

// TestDoorsComeInBursts: when somebody leaves, others do; at night they do not.
func TestDoorsComeInBursts(t *testing.T) {
	all := listen(New(Config{Seed: 1, Start: june}), 3*day)
	together, nights, rush, was := 0, 0, 0, int64(math.MinInt32)
	for _, r := range all {
		if r.Key != "home/door-front/open" || r.Number != 1 {
			continue
		}
		if r.At-was < 60_000 {
			together++
		}
		was = r.At
		switch hour := hourOf(r.At / 1000); {
		case hour < 5:
			nights++
		case hour >= 7 && hour < 8:
			rush++
		}
	}
	if together < 10 || rush < 10*max(nights, 1) {
		t.Errorf("%d in bursts, %d between 7 and 8, %d in five hours of night", together, rush, nights)
	}
}

// TestTwentyDevices: names that are a client's and a directory's.
func TestTwentyDevices(t *testing.T) {
	seen := map[string]bool{}
	devices := New(Config{}).Devices()
	for _, d := range devices {
		if seen[d.Name] || strings.Trim(d.Name, "abcdefghijklmnopqrstuvwxyz-") != "" || d.Room == "" {
			t.Errorf("%+v", d)
		}
		seen[d.Name] = true
	}
	if len(devices) != 20 {
		t.Errorf("%d devices", len(devices))
	}
}

func TestSpeakingAllocatesNothing(t *testing.T) {
	h, now, n := New(Config{Seed: 1, Start: june}), int64(0), 0
	listen(h, hour)
	now = hour
	if a := testing.AllocsPerRun(100, func() {
		now += 10 * nanos
		h.Until(now, func(Reading) { n++ })
	}); a > 0 {
		t.Errorf("%v allocations, %d readings", a, n)
	}
}

func BenchmarkADay(b *testing.B) {
	for b.Loop() {
		n := 0
		New(Config{Seed: 1, Start: june}).Until(day-1, func(Reading) { n++ })
		b.ReportMetric(float64(n), "readings/op")
	}
}
