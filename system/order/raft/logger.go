package raft

import (
	"fmt"

	"go.etcd.io/raft/v3"
)

var _ raft.Logger = logger{}

// logger discards what the library has to say: its state shows in [order.Status]. What it calls fatal
// breaks an invariant of consensus: going on could lose what was acknowledged, so it panics.
type logger struct{}

// Debug implements [raft.Logger].
func (logger) Debug(...any) {}

// Debugf implements [raft.Logger].
func (logger) Debugf(string, ...any) {}

// Info implements [raft.Logger].
func (logger) Info(...any) {}

// Infof implements [raft.Logger].
func (logger) Infof(string, ...any) {}

// Warning implements [raft.Logger].
func (logger) Warning(...any) {}

// Warningf implements [raft.Logger].
func (logger) Warningf(string, ...any) {}

// Error implements [raft.Logger].
func (logger) Error(...any) {}

// Errorf implements [raft.Logger].
func (logger) Errorf(string, ...any) {}

// Fatal implements [raft.Logger].
func (l logger) Fatal(v ...any) { l.Panic(v...) }

// Fatalf implements [raft.Logger].
func (l logger) Fatalf(format string, v ...any) { l.Panicf(format, v...) }

// Panic implements [raft.Logger].
func (logger) Panic(v ...any) { panic(fmt.Sprint(v...)) }

// Panicf implements [raft.Logger].
func (logger) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
