// Package cluster is what the processes of a cluster know about each other before they talk: one
// YAML file, and secrets.
//
//	cluster.yaml --Load--> Config --Identity(peer)--> Identity: TLS 1.3, cluster key, cluster tag
//
// # The file
//
// One strict file describes the whole cluster, and every process reads the same one. Only addresses
// have no default; testdata/example.yaml shows every key with its default and its reason. An
// unknown key is an error with its line and the nearest key; [Config.Validate] names every problem
// at once and says what to do about each. [Dev] writes a file and secrets for a cluster on one
// machine.
//
// # Secrets
//
// The cluster key, 32 random bytes, keys the digest of every datagram (R22). Its holders can forge
// datagrams of each other; integrity "mac" keeps out everybody else, and "aead" hides from them what
// clients write. The tag that every frame carries is derived from the cluster's name and the first key.
// Keys are changed while the cluster runs: the file then holds several, with numbers ([Ring]).
//
// A certificate binds a key to a role and a number: its SAN holds metronome://<cluster>/replica-0,
// as in SPIFFE, and a DNS name that the cluster's certificates share. Both sides verify: chain,
// cluster, role, number. So a proxy's certificate connects as that proxy and nothing else (R22).
// There is no revocation: a stolen certificate ends with its CA. To rotate a CA, let ca.crt hold
// the old and the new one, issue anew, then take the old one out; [Identity.Reload] picks each step
// up without a restart.
//
// # Skew
//
// [Config.Digest] names what processes disagree about, section by section, when their files differ.
//
// The package does not open sockets but to find free ports, does not watch files, and does not know
// which life of a replica sits on a seat (R1).
package cluster
