package raft

import "fmt"

// Severity grades what the library has to say.
type Severity uint8

// The severities of Config.Log.
const (
	Debug Severity = iota
	Info
	Warning
	Error
)

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

func (l logger) Debug(v ...any)                   { l.print(Debug, v) }
func (l logger) Debugf(format string, v ...any)   { l.printf(Debug, format, v) }
func (l logger) Info(v ...any)                    { l.print(Info, v) }
func (l logger) Infof(format string, v ...any)    { l.printf(Info, format, v) }
func (l logger) Warning(v ...any)                 { l.print(Warning, v) }
func (l logger) Warningf(format string, v ...any) { l.printf(Warning, format, v) }
func (l logger) Error(v ...any)                   { l.print(Error, v) }
func (l logger) Errorf(format string, v ...any)   { l.printf(Error, format, v) }
func (l logger) Fatal(v ...any)                   { l.Panic(v...) }
func (l logger) Fatalf(format string, v ...any)   { l.Panicf(format, v...) }

func (l logger) Panic(v ...any) {
	l.print(Error, v)
	panic(fmt.Sprint(v...))
}

func (l logger) Panicf(format string, v ...any) {
	l.printf(Error, format, v)
	panic(fmt.Sprintf(format, v...))
}
