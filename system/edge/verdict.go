package edge

import "net/http"

// status is what a verdict is in HTTP.
func (v Verdict) status() int {
	switch {
	case v == Created:
		return http.StatusCreated
	case !v.Refused():
		return http.StatusNoContent
	}
	return byCode[refusals[v].code].Status
}

// refusals says what each is to clients.
var refusals = map[Verdict]struct{ code, detail string }{
	Mismatch:     {"precondition-failed", ""},
	NothingThere: {"key-not-found", "The key holds nothing, and If-Match asks for something."},
	Forbidden:    {"forbidden", "These credentials have no right to do this with the key."},
	BadKey:       {"invalid-key", "A key has 1 to 1024 bytes, and no segment that is empty, \".\" or \"..\"."},
	TooLarge:     {"too-large", "A value has at most 1 MiB."},
	NoCondition:  {"precondition-required", "Writes here must have If-Match or If-None-Match."},
	NotSupported: {"unavailable-here", "This edge's kind of store cannot do this."},
}

// refusal is the problem of an operation that was refused.
func refusal(r *Result) *Problem {
	if r.Verdict == Mismatch {
		return mismatch(r.Revision)
	}
	return NewProblem(refusals[r.Verdict].code, refusals[r.Verdict].detail)
}
