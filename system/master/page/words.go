package page

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// words are the templates' functions.
var words = template.FuncMap{
	"ago": Ago, "span": Span, "bytes": Bytes[int64], "ubytes": Bytes[uint64], "count": Count, "state": state,
	"mark": mark, "levelWord": levelWord,
	"reverse": reverse[vault.Summary], "covered": covered, "kept": kept, "sentence": sentence,
	"since": func(now, then time.Time) string { return Ago(now.Sub(then)) },
	"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"days":  func(d float64) string { return fmt.Sprintf("%.0f", d) },
}

// Span is a duration as people say it.
func Span(d time.Duration) string {
	switch d = d.Abs(); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// Ago is how long something is past; negative means never.
func Ago(d time.Duration) string {
	switch {
	case d < 0:
		return "never"
	case d < time.Second:
		return "now"
	}
	return Span(d) + " ago"
}

// Bytes is a size as people say it.
func Bytes[T int | int64 | uint64](n T) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && v >= 1024 {
		v, units = v/1024, units[1:]
	}
	if units[0] == "B" || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[0])
	}
	return fmt.Sprintf("%.1f %s", v, units[0])
}

// Count is a number with thin spaces between thousands.
func Count(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// state is an edge's state in a word.
func state(e api.Edge) string {
	if e.Revoked {
		return "revoked"
	}
	return string(e.Passive.State)
}

// mark is the sign before a level's word: nobody has to tell colours apart.
func mark(l api.Level) string {
	switch l {
	case api.Good:
		return "●"
	case api.Warn:
		return "▲"
	}
	return "■"
}

func levelWord(l api.Level) string {
	switch l {
	case api.Good:
		return "all is well"
	case api.Warn:
		return "somebody should look"
	}
	return "somebody must act"
}

func reverse[T any](list []T) []T {
	back := make([]T, 0, len(list))
	for i := range list {
		back = append(back, list[len(list)-1-i])
	}
	return back
}

// current is an age of a backup that nobody needs to think about.
const current = 15 * time.Second

// covered says what a backup covers, by its age.
func covered(age time.Duration) string {
	switch {
	case age < 0:
		return "not complete yet"
	case age < current:
		return "up to date"
	}
	return "as of " + Ago(age)
}

// kept says of an edge without a backup here who else has one.
func kept(e api.Edge) string {
	if e.Report != nil && e.Report.Backup.State == api.Elsewhere {
		return "its cluster’s"
	}
	return "none"
}

// sentence begins with a capital letter.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
