package access

import (
	"context"
	"errors"
	"net/http"
)

type contextKey struct{}

// From is who makes the request of a context, or nil if no guard let it in.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(contextKey{}).(*Principal)
	return p
}

// Handler lets requests through to next that are authenticated, before next has seen anything of them.
// next finds out who it is by [From], and what they may do by [Principal.Require]. Whatever next answers
// is marked not to be stored, unless it says otherwise.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := g.Authorize(r)
		if err != nil {
			g.answer(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, p)))
	})
}

// Require is Handler for routes that need one right whatever the request says: Admin on "" for an admin
// listener.
func (g *Guard) Require(v Verb, key string, next http.Handler) http.Handler {
	return g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := From(r.Context()).Require(v, key); err != nil {
			g.answer(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

func (g *Guard) answer(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		g.cfg.Answer(w, r, refusal)
	}
}
