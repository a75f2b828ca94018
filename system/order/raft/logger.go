package raft

import (
	"fmt"

	"go.etcd.io/raft/v3"
)

// Severity grades what the library has to say.
type Severity uint8

// The severities of Config.Log.
const (
	Debug Severity = iota
	Info
	Warning
	Error
)

var _ raft.Logger = logger{}

// logger hands the library's twelve ways of logging to one function. What the library calls fatal
// breaks an invariant of consensus: going on could lose what was acknowledged, so it panics.
type logger struct{ to func(Severity, string) }

func (l logger) print(s Severity, v []any) {
	if l.to != nil {
		l.to(s, fmt.Sprint(v...))
	}
}

func (l logger) printf(s Severity, format string, v []any) {
	if l.to != nil {
		l.to(s, fmt.Sprintf(format, v...))
	}
}

// Debug implements [raft.Logger].
func (l logger) Debug(v ...any) { l.print(Debug, v) }

// Debugf implements [raft.Logger].
func (l logger) Debugf(format string, v ...any) { l.printf(Debug, format, v) }

// Info implements [raft.Logger].
func (l logger) Info(v ...any) { l.print(Info, v) }

// Infof implements [raft.Logger].
func (l logger) Infof(format string, v ...any) { l.printf(Info, format, v) }

// Warning implements [raft.Logger].
func (l logger) Warning(v ...any) { l.print(Warning, v) }

// Warningf implements [raft.Logger].
func (l logger) Warningf(format string, v ...any) { l.printf(Warning, format, v) }

// Error implements [raft.Logger].
func (l logger) Error(v ...any) { l.print(Error, v) }

// Errorf implements [raft.Logger].
func (l logger) Errorf(format string, v ...any) { l.printf(Error, format, v) }

// Fatal implements [raft.Logger].
func (l logger) Fatal(v ...any) { l.Panic(v...) }

// Fatalf implements [raft.Logger].
func (l logger) Fatalf(format string, v ...any) { l.Panicf(format, v...) }

// Panic implements [raft.Logger].
func (l logger) Panic(v ...any) {
	l.print(Error, v)
	panic(fmt.Sprint(v...))
}

// Panicf implements [raft.Logger].
func (l logger) Panicf(format string, v ...any) {
	l.printf(Error, format, v)
	panic(fmt.Sprintf(format, v...))
}
