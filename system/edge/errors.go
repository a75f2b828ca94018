package edge

import (
	"errors"
	"fmt"
)

// What a [Store] fails with, for errors.Is. Each says whether trying again helps.
var (
	ErrNotFound    = errors.New("edge: no such thing")
	ErrBusy        = errors.New("edge: not executed: a bound is reached; try again later")
	ErrDiskFloor   = errors.New("edge: not executed: too little free disk space; free some, then try again")
	ErrFailed      = errors.New("edge: the store has failed and must be restarted; see the edge's log")
	ErrDamaged     = errors.New("edge: stored data is damaged; restore the edge from its backup")
	ErrBehind      = errors.New("edge: this edge has not reached that revision; try again later")
	ErrUnreachable = errors.New("edge: the replicated core cannot be reached; try again later")
	ErrUnknown     = errors.New("edge: the write may or may not have been executed; send it again")
	ErrHere        = errors.New("edge: not possible with this edge's kind of store")
	ErrExpired     = errors.New("edge: the cursor has expired; start the listing again")
	ErrTrimmed     = errors.New("edge: changes so old are no longer kept; list the prefix, then go on")
	ErrReused      = errors.New("edge: this batch was sent before with other contents")
	ErrSessions    = errors.New("edge: the client has too many sessions; idle ones expire after 90 days")
)

// SessionFault is why a batch of a session was not executed. The session is as it was.
type SessionFault struct {
	Code  string // sequence-gap, fenced or session-cloned
	State SessionState
}

// Error says what is wrong.
func (e *SessionFault) Error() string {
	return fmt.Sprintf("edge: %s: session %s is at number %d, epoch %d", e.Code, e.State.ID, e.State.Mark,
		e.State.Epoch)
}

// RefusedError is an atomic batch of which an operation was refused: none was executed.
type RefusedError struct {
	Results []Result // of all operations: what they would have met
	Session *SessionState
}

// First is the index of the first operation refused.
func (e *RefusedError) First() int {
	for i := range e.Results {
		if e.Results[i].Verdict.Refused() && !e.Results[i].Duplicate {
			return i
		}
	}
	return 0
}

// Error says so.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("edge: operation %d was refused, so none was executed", e.First())
}
