// Package access decides who may do what: HTTP Basic over TLS, bcrypt, rights by key prefix and verb.
//
//	g, err := access.NewGuard(access.Config{File: "users.yaml"})
//	go g.Run(ctx)                                   // takes up a changed file within a second
//	p, err := g.Authorize(r)                        // who; the error is a *Refusal: status, type, headers
//	err = p.Require(access.Write, key)              // what: the decoded key, deny by default
//	mux.Handle("/admin/", g.Require(access.Admin, "", h))
//
// # What a request costs
//
// bcrypt at cost 10 keeps a core busy for 64 ms, so that guessing is slow; by itself that would let 31 wrong
// passwords a second stop a two-core edge. In order, cheapest first:
//
//	TLS?        credentials over plain HTTP are refused, right or wrong
//	header      at most 512 bytes; passwords longer than 72 bytes, which bcrypt would cut, go no further
//	token       machine secrets (mtk_...): one SHA-256, no cache, gate or limit
//	cache       HMAC of user, password and stored hash: right within the last five minutes of use
//	limits      failures of this address, and of this user: at the bound 429 before anything is hashed
//	flight      requests with the same credentials wait for one check
//	gate        half the cores hash at a time, twice as many wait up to a second, the rest get 503
//	bcrypt      against the user's hash, or against a decoy
//
// Limits count failures only: what is in the cache never meets them, and a user at an address where they
// were before has a limit of their own there. So an attacker cannot lock a device out, but one behind the
// same address translation can slow its first log-in after a restart; a token has no such limit.
//
// The cache holds no secret but sums under a key of the process, and successes only, so nobody can fill it
// by guessing. The stored hash is part of the sum: a changed or removed password ends at once.
//
// # What an answer tells
//
// Nothing of who exists. Wrong passwords and unknown users get the same bytes, and cost the same work: 2^c
// rounds, c the highest cost in the file. An unknown user meets a decoy of that cost; a user with a cheaper
// hash meets decoys that make up the difference. The audit trail names users that exist, not what was typed.
//
// # The file
//
// [File] shows its form. It is checked as a whole, and never believed by halves: a file that cannot be used
// leaves the one before it in use, [Guard.Err] says why, and a server should then call itself degraded. A
// right covers every key that begins with its prefix; verbs beyond a role's bound are an error.
//
// The package does not parse keys out of URLs, does not speak TLS (see package pki), does not believe
// X-Forwarded-For, and has no sessions, cookies or groups.
package access
