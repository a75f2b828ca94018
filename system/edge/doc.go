// Package edge serves a persistent key-value store over HTTPS: what devices of a home write to, and
// people read with curl.
//
//	curl -u lamp:secret --cacert ca.pem -T reading.bin https://edge:7443/v1/kv/home/lamp/power
//	curl -u lamp:secret --cacert ca.pem https://edge:7443/v1/kv/home/lamp/power
//	curl -u lamp:secret --cacert ca.pem 'https://edge:7443/v1/kv?prefix=home/&encoding=utf8'
//
// [Store] is what keeps the data: package local is one, an embedded Pebble; package quorum another, the
// replicated core, which several edges share. openapi.yaml, served at /openapi.yaml, is the exact
// description, and a test drives every route against it, over both.
//
// # Routes
//
//	GET HEAD PUT DELETE /v1/kv/{key}   one key; its value is the body, as bytes
//	GET  /v1/kv                        keys under ?prefix=, in pages
//	POST /v1/batch                     up to 1024 operations, as one commit
//	GET  /v1/watch                     changes under ?prefix=, by long poll or as server-sent events
//	GET  /v1/sessions/{session}        up to which number a device's operations are safe, and where
//	GET  /v1/status                    what the edge is and how far it is
//	GET  /livez /readyz /openapi.yaml  without credentials
//
// # Keys
//
// A key is 1 to 1024 bytes; none of its segments, split at slashes, is empty, "." or "..". In a path it
// is percent-encoded, and %2F is a slash like any other: the key is what the path decodes to, rights are
// judged on the decoded key, and nothing redirects. Bodies write a key as "key" if it is UTF-8, else
// "key_base64"; values likewise.
//
// # Revisions and conditions
//
// Every change takes the next revision. A key's ETag is the revision of its last change, in quotes. After
// a restore revisions begin anew above all that the edge may have given out before, so that an old ETag
// never matches new data: they are 64-bit integers, and may exceed what a JavaScript number holds.
// If-Match and If-None-Match are as in RFC 9110; If-None-Match: * creates only.
//
// # Fresh enough
//
// ?consistency=local, the default, reads what this edge has; X-Staleness-Ms says how long ago that was last
// known to be current. session, or just the header X-Min-Revision, waits for a revision that the reader has
// seen. quorum is linearizable over all edges: 422 if the store is local, 503 core-unreachable while the
// edge is cut off from the core, when local reads go on and writes are refused likewise.
//
// # What an answer promises
//
// 201, 204 and a batch's results mean: durable here, on stable storage. No reader is shown a change
// before that. Replies name the marks reached by a session's numbers: "edge" durable at this edge,
// "backed_up" in a backup at the master, "quorum" held by a majority of the replicated core; a mark this
// edge cannot give is absent.
//
// # Exactly once
//
// A batch may carry the client's session, the epoch of its queue, and a number per operation. The edge
// keeps the highest number (the high-water mark, hwm) of each session in the same commit as the data, and
// leaves out what lies at or below it: a retry after any outage changes nothing. "prev" is what the
// client believes the mark to be. If the edge's is lower, it was restored from an older backup: 409
// sequence-gap names the mark and the client sends again from there. A lower epoch is 409 fenced: a
// later life of the queue has spoken. A known epoch with another "instance" is 409 session-cloned: the
// queue's directory was copied. Requests of one session are executed one after another.
//
// The design follows TigerBeetle's sessions, made durable on both sides, and SimpleIoT's windows, which
// are acknowledged as a whole.
//
// # Errors
//
// Every reply that is not 2xx or 3xx is a problem of RFC 9457, those of net/http included:
//
//	{"type":"urn:metronome:problem:sequence-gap","title":…,"status":409,"detail":…,
//	 "retryable":false,"request_id":…,"hwm":17}
//
// "retryable" is the word to go by. [Codes] lists all types.
//
// # Bounds
//
// Values 1 MiB, keys 1 KiB, batches 1024 operations with 1 MiB of values, headers 16 KiB, pages 1000 keys
// or 4 MiB; connections, bytes of bodies being read, cursors and watchers are bounded by [Limits]. At a
// bound: 413, 431, or 503 with Retry-After. A header has 5 s, a body 30 s.
//
// The package knows no passwords ([Authorizer] does), makes no backups (package local has the seam),
// speaks no HTTP/2, and keeps no state besides its Store's.
package edge
