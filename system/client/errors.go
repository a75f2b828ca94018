package client

import (
	"errors"
	"fmt"
	"strings"
)

// What operations fail with, for errors.Is. [MayHaveHappened] tells which of them are definite.
var (
	ErrNotFound    = errors.New("client: no such key")
	ErrMismatch    = errors.New("client: the key has another revision") // a [Mismatch] says which
	ErrBusy        = errors.New("client: not executed: a bound is reached; try again later")
	ErrUnavailable = errors.New("client: not executed: no proxy can serve; try again later")
	ErrUnknown     = errors.New("client: the write may or may not have been executed") // an [OutcomeUnknown]
	ErrSessionLost = errors.New("client: the session has ended; open another")
	ErrResultGone  = errors.New("client: the write was executed before; its answer is gone")
	ErrClosed      = errors.New("client: closed")
)

// Mismatch is why a compare-and-set did nothing.
type Mismatch struct {
	Revision uint64 // that the key has; 0 = absent
}

// Error names the revision found.
func (e *Mismatch) Error() string { return fmt.Sprintf("%v: %d", ErrMismatch, e.Revision) }

// Is makes it [ErrMismatch].
func (e *Mismatch) Is(target error) bool { return target == ErrMismatch }

// OutcomeUnknown is a write that may or may not have been executed, and may yet be within moments.
// Read the key to find out, or use a [Session] in the first place.
type OutcomeUnknown struct {
	Cause error // what went wrong: a broken connection, an ended context, the proxy's answer
}

// Error says so, and why.
func (e *OutcomeUnknown) Error() string { return ErrUnknown.Error() + ": " + e.Cause.Error() }

// Is makes it [ErrUnknown].
func (e *OutcomeUnknown) Is(target error) bool { return target == ErrUnknown }

// Unwrap returns the cause.
func (e *OutcomeUnknown) Unwrap() error { return e.Cause }

// ServerError is a proxy's error reply that is none of the others: a wrong type, a bound exceeded, no
// authentication. The command was not executed.
type ServerError struct {
	Message string // as it came, prefix first
}

// Error is the message.
func (e *ServerError) Error() string { return "client: the proxy answered: " + e.Message }

// MayHaveHappened reports whether a write that failed with err may have been executed.
func MayHaveHappened(err error) bool {
	return errors.Is(err, ErrUnknown) || errors.Is(err, ErrResultGone)
}

// errorReply turns an error reply into what callers see.
func errorReply(message string) error {
	prefix, rest, _ := strings.Cut(message, " ")
	switch prefix {
	case "OVERLOADED":
		return ErrBusy
	case "UNAVAILABLE":
		return ErrUnavailable
	case "UNKNOWN":
		return &OutcomeUnknown{Cause: &ServerError{message}}
	case "SESSION":
		switch reason, _, _ := strings.Cut(rest, " "); reason {
		case "UNKNOWN", "FORGOTTEN":
			return fmt.Errorf("%w: %s", ErrSessionLost, message)
		case "AHEAD":
			return ErrBusy
		case "RESULTGONE":
			return ErrResultGone
		}
	}
	return &ServerError{message}
}
