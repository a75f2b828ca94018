package keep

import "slices"

// Least is how many of the newest backups stay whatever a policy says.
const Least = 3

// Policy says how many backups to keep of each kind; 0 = none of that kind.
type Policy struct {
	Last    int `json:"last"` // the newest; at least Least
	Hourly  int `json:"hourly"`
	Daily   int `json:"daily"`
	Weekly  int `json:"weekly"`
	Monthly int `json:"monthly"`
}

// Default is the policy unless told otherwise.
func Default() Policy { return Policy{Last: Least, Hourly: 24, Daily: 7, Weekly: 4, Monthly: 12} }

// Backup is what a policy looks at.
type Backup struct {
	Number uint64 // grows from backup to backup: their order
	Unix   int64  // when it was taken, in seconds; only which hour, day, week and month that is counts
	Pinned string // why it must stay; "" = it need not
}

// Keep returns the numbers of the backups that stay, each with the reasons.
func (p Policy) Keep(backups []Backup) map[uint64][]string {
	newest := slices.Clone(backups)
	slices.SortFunc(newest, func(a, b Backup) int {
		if a.Number < b.Number {
			return 1
		}
		return -1
	})
	kept := map[uint64][]string{}
	for i, b := range newest {
		if b.Pinned != "" {
			kept[b.Number] = append(kept[b.Number], b.Pinned)
		}
		if i < max(p.Last, Least) {
			kept[b.Number] = append(kept[b.Number], "last")
		}
	}
	for _, kind := range []struct {
		name string
		n    int
		of   func(unix int64) int64
	}{
		{"hourly", p.Hourly, hour}, {"daily", p.Daily, day}, {"weekly", p.Weekly, week},
		{"monthly", p.Monthly, month},
	} {
		seen := map[int64]bool{}
		for _, b := range newest {
			at := kind.of(b.Unix)
			if seen[at] || len(seen) >= kind.n {
				continue
			}
			seen[at] = true
			kept[b.Number] = append(kept[b.Number], kind.name)
		}
	}
	return kept
}

func hour(unix int64) int64 { return floor(unix, 3600) }

func day(unix int64) int64 { return floor(unix, 86400) }

// week counts from Mondays: 1 January 1970 was a Thursday.
func week(unix int64) int64 { return floor(day(unix)+3, 7) }

// month counts months of the Gregorian calendar (after Howard Hinnant, chrono-compatible low-level
// date algorithms): years begin in March, so that the leap day is the last.
func month(unix int64) int64 {
	z := day(unix) + 719468
	era := floor(z, 146097)
	ofEra := z - era*146097
	year := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*year + year/4 - year/100)
	return (era*400+year)*12 + (5*ofYear+2)/153
}

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
