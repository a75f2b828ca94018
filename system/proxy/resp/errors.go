package resp

import "metronome/system/wire"

// Prefixes of error replies (R28): none that a client library retries by itself. BUSY would be one.
const (
	PrefixOverloaded  = "OVERLOADED"  // not executed: a bound is reached; try again later
	PrefixUnavailable = "UNAVAILABLE" // not executed: no quorum, or no lane; try again later
	PrefixUnknown     = "UNKNOWN"     // may or may not have been executed
	PrefixRefused     = "REFUSED"     // not executed, and never will be as it is
	PrefixSession     = "SESSION"     // not executed: the session says no; the next word says why
)

// Texts of error replies. Those without a prefix of ours are Redis's, to the letter.
const (
	textOverloaded  = PrefixOverloaded + " not executed: a bound is reached; try again later"
	textUnavailable = PrefixUnavailable + " not executed: no majority of replicas answers, or no lane is open;" +
		" try again later"
	textUnknown = PrefixUnknown + " outcome: the command may or may not have been executed;" +
		" read the key, or use MT.DO in a session"
	textStopping = PrefixUnavailable + " not executed: the proxy is stopping; connect to another"

	textSyntax     = "ERR syntax error"
	textNotInteger = "ERR value is not an integer or out of range"
	textOverflow   = "ERR increment or decrement would overflow"
	textEmptyKey   = "ERR key is empty: keys are 1 to 1024 bytes"
	textLongKey    = "ERR key is too long: keys are 1 to 1024 bytes"
	textLongMulti  = "ERR keys and values are too long together: at most 1048576 bytes in one command"
	textLongReply  = "ERR the values are too long together for one reply; ask for fewer keys"
	textManyKeys   = "ERR too many keys: at most 4096 in one command"
	textNoAuth     = "NOAUTH Authentication required."
	textWrongPass  = "WRONGPASS invalid username-password pair or user is disabled."
)

// statusText is the error for what is neither success nor a condition that failed. A status it does
// not know is an unknown outcome.
func statusText(s wire.Status) string {
	switch s {
	case wire.StatusNotInteger:
		return textNotInteger
	case wire.StatusOverflow:
		return textOverflow
	case wire.StatusTooLong:
		return "ERR string exceeds maximum allowed size (1048576 bytes)"
	case wire.StatusMalformed:
		return "ERR the store does not understand this operation: is the proxy newer than the replicas?"
	case wire.StatusSessionUnknown:
		return PrefixSession + " UNKNOWN not executed now: no such session, or it has expired; sent before, it" +
			" may have been executed then. Open another with MT.SESSION OPEN"
	case wire.StatusSessionForgotten:
		return PrefixSession + " FORGOTTEN not executed now: the number is below the low mark the client sent"
	case wire.StatusSessionAhead:
		return PrefixSession + " AHEAD not executed: too far above the low mark; wait for answers, then try again"
	case wire.StatusResultGone:
		return PrefixSession + " RESULTGONE executed before; its answer was too large to be kept"
	case wire.StatusBusy:
		return textOverloaded
	case wire.StatusUnavailable:
		return textUnavailable
	case wire.StatusRefused:
		return PrefixRefused + " not executed, and never will be as it is"
	}
	return textUnknown
}

func appendStatus(dst []byte, s wire.Status) []byte { return appendError(dst, statusText(s)) }
