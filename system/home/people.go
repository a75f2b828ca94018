package home

// habit is when people do something: how often an hour, for each hour of the day.
type habit [24]float64

// Habits of two who work and a child: up at six, away at eight, home from four, asleep at eleven.
var (
	passing = habit{0.1, 0, 0, 0, 0.1, 0.5, 3, 6, 2, 0.5, 0.4, 0.4, 1, 1, 1, 1.5, 4, 6, 3, 2, 1, 1, 0.5, 0.2}
	moving  = habit{0.3, 0.2, 0.1, 0.1, 0.2, 1, 8, 9, 3, 0.5, 0.3, 0.3, 1, 1, 1, 2, 6, 9, 9, 8, 7, 6, 3, 1}
	boiling = habit{5: 0.2, 1.5, 1, 0.2, 0.1, 0.1, 0.1, 0.3, 0.2, 0.1, 0.3, 0.5, 0.5, 0.4, 0.4, 0.3, 0.1}
	cooking = habit{11: 0.1, 12: 0.1, 16: 0.1, 17: 0.4, 18: 0.5, 19: 0.1}
	washing = habit{7: 0.1, 9: 0.05, 10: 0.05, 17: 0.1, 18: 0.05, 20: 0.1}
	viewing = habit{6: 0.1, 7: 0.1, 17: 0.2, 18: 0.4, 19: 0.8, 20: 0.6, 21: 0.2}
	bathing = habit{6: 1, 7: 0.8, 20: 0.3, 21: 0.5, 22: 0.2}
)

// happens draws whether something begins in this second.
func (h *habit) happens(second int64, r *random) bool {
	return r.uniform()*3600 < h[int(hourOf(second))]
}

// switched is something that is open or on for a while, several times in a row.
type switched struct {
	habit    *habit
	most     int // at most so often in a row
	from, to int // seconds that it stays so
	pause    int // seconds at most between two of a row

	on   bool
	left int // times in this row
	wait int // seconds until it changes
}

func (s *switched) step(second int64, r *random) {
	switch {
	case s.left == 0:
		if s.habit.happens(second, r) {
			s.left, s.wait = r.between(1, s.most), 1
		}
	case s.wait > 1:
		s.wait--
	case s.on:
		s.on, s.left, s.wait = false, s.left-1, r.between(1, s.pause)
	default:
		s.on, s.wait = true, r.between(s.from, s.to)
	}
}
