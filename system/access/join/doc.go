// Package join admits new members to a home by one-time tokens.
//
//	token, err := join.Store{Path: "join.json"}.Issue("edge/hallway", fingerprint, time.Hour) // at the master
//	t, err := join.Parse(token)                              // at the new edge: t.Fingerprint pins the CA
//	subject, err := store.Redeem(t.Secret, keyDigest)              // at the master, when the edge calls
//
// A token is a secret and the fingerprint of the home's CA in one word with a checksum: whoever has it can
// tell the true master from another, and is told from others by it. The master stores the secret's SHA-256
// alone. A token is good for one key: the first certificate request that brings it binds it, on disk and
// synced before the answer leaves, so an answer that is lost can be asked for again with the same key, and
// by nobody else. Tokens expire.
//
// The package moves nothing over a network and issues no certificates; see package pki.
package join
