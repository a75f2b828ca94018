// Package pki makes, keeps and judges the certificates of the IoT tier: a home's own CA, and certificates
// for its edges, its master and, where they have one, its devices.
//
//	a, err := pki.NewAuthority("home", now)            // ca.crt and ca.key; ten years
//	id, err := a.Issue(pki.Leaf{Name: n, Hosts: ...}, now) // 90 days: one PEM file, key and certificate
//	k, err := pki.Open(pki.Files{Identity: "edge.pem", CA: "ca.crt"}, nil)
//	srv.TLSConfig = k.ServerTLS(pki.Policy{Roles: []pki.Role{pki.Device}, Optional: true})
//	go k.Run(ctx, pki.Upkeep{Sign: askMaster})         // hot reload, renewal at two thirds
//
// # Names
//
// A certificate binds a key to a home, a role and an id: its only URI is metronome://HOME/ROLE/ID, as in
// SPIFFE. Who may connect is a [Policy] on that name; host names stand in certificates so that curl and
// browsers can check them too. A device's certificate is good for clients only, so a stolen one cannot
// pretend to be an edge.
//
// # One file
//
// Key and certificate lie in one file, replaced by one rename. In two files a power cut between two renames
// would leave a key without its certificate, and a server that cannot start.
//
// # Expiry
//
// A certificate is renewed when two thirds of its life are over; the last third is for a master that is
// out of reach. [Keeper.Status] warns 30 days before the end and never stops anything: what has expired
// goes on answering, and says so. A [Policy] may give grace after the end; a master gives it on the route
// that renews, so that an edge which was off for a year needs no visit.
//
// The package keeps no list of revoked certificates: who may do what is looked up for each request, in the
// credential file or the master's list of edges, and a stolen key ends with its 90 days. It knows nothing of
// HTTP.
package pki
