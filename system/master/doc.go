// Package master is the server in the data centre that keeps edges' backups and knows who is alive.
//
//	m, err := master.Open(master.Config{Dir: "/var/lib/metronome/master", Keeper: keeper, Authority: ca})
//	m.Run(ctx)
//	go m.Serve(listener)        // for edges: HTTPS, certificates on both sides
//	go m.ServeAdmin(unixSocket) // for the commands on this machine
//	http.Handle("/", m.Page())  // for people
//
// # What it does
//
// It takes in what edges ship (package ship): checkpoints of their stores in sealed chunks,
// manifest last, and every second what changed since. What arrives is verified before it is
// answered; how it lies, and why that is safe, is package vault's matter. It restores edges'
// backups into a scratch directory from time to time, recounts the digest and compares it with one
// that the edge reported: a drill, after which the backup is proven. It reads a part of everything
// again each day. It prunes what the policy does not keep, never the last proven backup. Chunks
// that it finds lost or damaged it asks the living edge for, by asking for a new checkpoint.
//
// # Who is alive
//
// Any authenticated request of an edge is a sign of life: nothing is sent for that alone. Package
// phi judges. After an absence of its own a master accuses nobody. With Config.Heartbeat it also
// asks edges, and shows what both detectors think.
//
// # Routes for edges
//
//	POST /v1/join                      a join token and a certificate request: certificate, backup key
//	POST /v1/renew                     a certificate request: certificate; also for an expired certificate
//	POST /v1/edges/E/hello             begin to back up: a lease; who held the one before is shut out
//	POST /v1/edges/E/report            what the edge says of itself: its wish comes back
//	POST /v1/edges/E/missing           which of these chunks are missing
//	PUT  /v1/edges/E/chunks/NAME       a chunk
//	POST /v1/edges/E/backups           a manifest
//	POST /v1/edges/E/log/NUMBER        changes since a manifest's checkpoint
//	GET  /v1/edges/E/objects/FOLDER    what there is, to restore at the edge
//	GET  /v1/edges/E/objects/FOLDER/NAME
//	POST /v1/edges/E/restores          the number of one more restore
//	GET  /v1/edges/E                   what the master shows of it
//	GET  /livez
//
// An edge's certificate names the one edge it speaks for, and may add and read: it can remove or
// overwrite nothing. Errors are RFC 9457 problems, all of them.
//
// # What it does not do
//
// It keeps no revocation list: a revoked edge's record says so. It does not replicate itself: its
// own directory, with the edges' backup keys and the CA's key, is small and must be copied to a
// safe place by other means. Two masters must not share a destination.
package master
