package pki

import (
	"fmt"
	"time"
)

// WarnBefore is how long before its end a certificate is complained about.
const WarnBefore = 30 * 24 * time.Hour

const day = 24 * time.Hour

// State is what there is to say of a certificate's time.
type State string

// The states of a certificate. None of them stops a server: Expiring and Expired make it degraded.
const (
	Good     State = "good"
	Expiring State = "expiring" // less than 30 days are left, or less than a tenth of a short life
	Expired  State = "expired"
	TooEarly State = "too-early" // the clock here is wrong
)

// Status is what a status page, a readiness check and a metric say of a certificate.
type Status struct {
	Name      Name
	State     State
	NotBefore time.Time
	RenewAt   time.Time // two thirds of its life
	NotAfter  time.Time
	DaysLeft  float64 // negative when it is over
	CADays    float64 // of the CA that lasts longest
	Detail    string  // for people; empty if it is good
}

// Status says how long the certificate is good for.
func (k *Keeper) Status() Status {
	m, now := k.held.Load(), k.now()
	leaf := m.cert.Leaf
	s := Status{Name: m.name, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		RenewAt: renewAt(leaf.NotBefore, leaf.NotAfter), DaysLeft: days(leaf.NotAfter.Sub(now))}
	s.CADays = days(m.cas[0].NotAfter.Sub(now))
	for _, ca := range m.cas {
		s.CADays = max(s.CADays, days(ca.NotAfter.Sub(now)))
	}
	s.State = stateAt(leaf.NotBefore, leaf.NotAfter, now)
	s.Detail = s.detail()
	return s
}

// DaysLeft is how many days the certificate is good for, for a metric; negative when it is over.
func (k *Keeper) DaysLeft() float64 { return days(k.held.Load().cert.Leaf.NotAfter.Sub(k.now())) }

func days(d time.Duration) float64 { return float64(d) / float64(day) }

// renewAt is when two thirds of a life are over.
func renewAt(from, to time.Time) time.Time { return from.Add(to.Sub(from) / 3 * 2) }

func stateAt(from, to, now time.Time) State {
	warn := min(WarnBefore, to.Sub(from)/10)
	if to.Sub(from) >= 3*WarnBefore {
		warn = WarnBefore
	}
	switch {
	case now.Before(from):
		return TooEarly
	case now.After(to):
		return Expired
	case to.Sub(now) < warn:
		return Expiring
	}
	return Good
}

func (s *Status) detail() string {
	end := s.NotAfter.UTC().Format(time.DateOnly)
	switch s.State {
	case TooEarly:
		return fmt.Sprintf("the certificate is valid from %s: the clock here is behind, set it",
			s.NotBefore.UTC().Format(time.RFC3339))
	case Expiring:
		return fmt.Sprintf("the certificate ends on %s, in %.0f days, and was not renewed since %s: is the master "+
			"within reach?", end, s.DaysLeft, s.RenewAt.UTC().Format(time.DateOnly))
	case Expired:
		return fmt.Sprintf("the certificate ended on %s, %.0f days ago: renew it through the master, or issue it "+
			"again with metronome pki leaf", end, -s.DaysLeft)
	}
	if s.CADays < days(WarnBefore) {
		return fmt.Sprintf("the CA ends in %.0f days: make a new one with metronome pki ca, and let ca.crt hold "+
			"both until every certificate is issued anew", s.CADays)
	}
	return ""
}
