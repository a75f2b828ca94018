package keep

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func at(n uint64, when string) Backup {
	t, err := time.Parse("2006-01-02 15:04", when)
	if err != nil {
		panic(err)
	}
	return Backup{Number: n, Unix: t.Unix()}
}

func kept(p Policy, all []Backup) (numbers []uint64) {
	for n := range p.Keep(all) {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

func TestKeep(t *testing.T) {
	all := []Backup{
		at(1, "2026-01-31 23:59"), at(2, "2026-02-01 00:01"), at(3, "2026-02-28 12:00"), at(4, "2026-03-02 12:00"),
		at(5, "2026-03-03 11:10"), at(6, "2026-03-03 11:50"), at(7, "2026-03-03 12:10"), at(8, "2026-03-03 12:20"),
	}
	for _, c := range []struct {
		p    Policy
		want []uint64
	}{
		{Policy{}, []uint64{6, 7, 8}},
		{Policy{Last: 1}, []uint64{6, 7, 8}},
		{Policy{Last: 5}, []uint64{4, 5, 6, 7, 8}},
		{Policy{Hourly: 2}, []uint64{6, 7, 8}},
		{Policy{Hourly: 3}, []uint64{4, 6, 7, 8}},
		{Policy{Daily: 3}, []uint64{3, 4, 6, 7, 8}},
		{Policy{Weekly: 2}, []uint64{3, 6, 7, 8}}, // 2 March 2026 is a Monday
		{Policy{Monthly: 3}, []uint64{1, 3, 6, 7, 8}},
		{Default(), []uint64{1, 2, 3, 4, 6, 7, 8}},
	} {
		if got := kept(c.p, all); !slices.Equal(got, c.want) {
			t.Errorf("%+v keeps %v, want %v", c.p, got, c.want)
		}
	}
}

func TestPinnedStays(t *testing.T) {
	all := []Backup{at(1, "2020-01-01 00:00"), at(2, "2026-01-01 00:00"), at(3, "2026-01-01 00:01"),
		at(4, "2026-01-01 00:02"), at(5, "2026-01-01 00:03")}
	all[0].Pinned = "proven"
	reasons := Policy{}.Keep(all)
	if got := reasons[1]; !slices.Equal(got, []string{"proven"}) || reasons[2] != nil {
		t.Errorf("%v", reasons)
	}
}

// TestMonthsAreTheCalendars compares with package time over 800 years.
func TestMonthsAreTheCalendars(t *testing.T) {
	for d := time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2500; d = d.Add(36 * time.Hour) {
		y, m, _ := d.Date()
		if got, want := month(d.Unix()), int64(y)*12+int64(m)-3; got != want {
			t.Fatalf("%v: month %d, want %d", d, got, want)
		}
	}
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Unix()
	if week(monday) != week(monday-1)+1 || week(monday) != week(monday+7*86400-1) ||
		week(-4*86400)+1 != week(-3*86400) {
		t.Errorf("weeks begin on Mondays: %d %d", week(monday-1), week(monday))
	}
}

// TestAClockJumpCostsNoBackupItsPlace: one backup far in the future or past changes what is kept by
// itself only.
func TestAClockJumpCostsNoBackupItsPlace(t *testing.T) {
	var all []Backup
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 90 {
		all = append(all, Backup{Number: uint64(i + 1), Unix: begin.Add(time.Duration(i) * 24 * time.Hour).Unix()})
	}
	before := kept(Default(), all)
	for _, unix := range []int64{0, begin.AddDate(50, 0, 0).Unix(), -1 << 40} {
		jumped := slices.Clone(all)
		jumped[70].Unix = unix
		after := kept(Default(), jumped)
		missing := 0
		for _, n := range before {
			if !slices.Contains(after, n) {
				missing++
			}
		}
		if missing > 4 || !slices.Contains(after, 90) {
			t.Errorf("jump to %d: kept %v, before %v", unix, after, before)
		}
	}
}

// TestKeepIsBoundedAndCoversThePast, whatever the backups.
func TestKeepIsBoundedAndCoversThePast(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := Policy{Last: rng.IntN(6), Hourly: rng.IntN(30), Daily: rng.IntN(10), Weekly: rng.IntN(6),
			Monthly: rng.IntN(14)}
		var all []Backup
		now := int64(1.7e9)
		for n := range rng.IntN(400) {
			now += rng.Int64N(100000)
			all = append(all, Backup{Number: uint64(n + 1), Unix: now})
		}
		got := kept(p, all)
		if most := max(p.Last, Least) + p.Hourly + p.Daily + p.Weekly + p.Monthly; len(got) > most {
			t.Fatalf("seed %d: %d kept, at most %d", seed, len(got), most)
		}
		if len(got) < min(len(all), Least) {
			t.Fatalf("seed %d: %d kept of %d", seed, len(got), len(all))
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if again := kept(p, all); !slices.Equal(got, again) {
			t.Fatalf("seed %d: the order of the list matters", seed)
		}
	}
}

func TestNothingGoesBeforeItsGrace(t *testing.T) {
	const hour, grace = int64(time.Hour), int64(24 * time.Hour)
	var ages Ages
	var remove []string
	for i := range 24 {
		if ages, remove = ages.Step([]string{"a"}, hour, grace); len(remove) > 0 {
			t.Fatalf("removed after %d looks", i)
		}
	}
	if ages, remove = ages.Step([]string{"a", "b"}, hour, grace); !slices.Equal(remove, []string{"a"}) {
		t.Fatalf("remove %v", remove)
	}
	if ages, _ = ages.Step([]string{"b"}, hour, grace); len(ages) != 1 {
		t.Errorf("%v", ages)
	}
}

// TestWantedAgainBeginsAnew: a chunk that a backup came to use in between is not removed for what
// was before.
func TestWantedAgainBeginsAnew(t *testing.T) {
	ages, _ := Ages{}.Step([]string{"a"}, 10, 100)
	ages, _ = ages.Step([]string{"a"}, 99, 100)
	ages, _ = ages.Step(nil, 10, 100)
	ages, remove := ages.Step([]string{"a"}, 1000, 100)
	if len(remove) > 0 || fmt.Sprint(ages) != "map[a:0]" {
		t.Errorf("%v %v", ages, remove)
	}
	if _, remove = ages.Step([]string{"a"}, -1000, 100); len(remove) > 0 {
		t.Error("a clock that goes back ends no grace")
	}
}
