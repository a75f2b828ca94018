package edgecmd

import (
	"errors"
	"net/http"
	"strings"

	"metronome/system/access"
	"metronome/system/edge"
)

// Guarded makes the credential file's guard an edge's.
func Guarded(g *access.Guard) edge.Authorizer { return guarded{g} }

type guarded struct{ guard *access.Guard }

// verbs says which right each of the edge's verbs needs: who may read under a prefix may know its names.
var verbs = map[edge.Verb]access.Verb{
	edge.VerbRead: access.Read, edge.VerbList: access.Read, edge.VerbWatch: access.Read,
	edge.VerbWrite: access.Write, edge.VerbDelete: access.Delete,
}

// Authorize implements edge.Authorizer.
func (a guarded) Authorize(r *http.Request) (edge.Principal, error) {
	p, err := a.guard.Authorize(r)
	if err != nil {
		return edge.Principal{}, problem(err)
	}
	may := func(v edge.Verb, key []byte) bool {
		verb, known := verbs[v]
		return known && p.Allows(verb, string(key))
	}
	return edge.Principal{Name: p.Name(), Home: p.Home(), May: may}, nil
}

// problem is a guard's refusal as a problem.
func problem(err error) error {
	var r *access.Refusal
	if !errors.As(err, &r) {
		return err
	}
	p := edge.NewProblem(strings.TrimPrefix(r.Type, edge.URN), r.Detail)
	p.RetryAfter = r.RetryAfter
	p.Header = http.Header{}
	r.SetHeader(p.Header)
	return p
}
