package edge

import "net/http"

// Verb is what somebody may do with keys.
type Verb string

// Verbs.
const (
	VerbRead   Verb = "read"
	VerbWrite  Verb = "write"
	VerbDelete Verb = "delete"
	VerbList   Verb = "list"
	VerbWatch  Verb = "watch"
)

// Principal is who sent a request.
type Principal struct {
	Name string
	Home string // the edge that is home to it; "" = any

	// May reports a right: to a key, or, for VerbList and VerbWatch, to every key with a prefix.
	May func(verb Verb, key []byte) bool
}

// Authorizer finds out who sent a request, before its body is read. Its errors may be a [*Problem].
type Authorizer interface {
	Authorize(r *http.Request) (Principal, error)
}

// Everybody lets anybody do anything, under one name. It is for loopback and tests.
type Everybody string

// Authorize implements [Authorizer].
func (e Everybody) Authorize(*http.Request) (Principal, error) {
	return Principal{Name: string(e), May: func(Verb, []byte) bool { return true }}, nil
}

// require refuses what the principal may not do. The refusal does not tell whether the key exists.
func (p *Principal) require(verb Verb, key []byte) error {
	if p.May != nil && p.May(verb, key) {
		return nil
	}
	return NewProblem("forbidden", "These credentials have no right to "+string(verb)+" here.")
}
