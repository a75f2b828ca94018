// Package api is what travels between edges and their master: paths, bodies, and errors (RFC 9457);
// and a client for them.
//
//	c := &api.Client{URL: "https://master:7600", HTTP: httpClient}
//	var reply api.Lease
//	err := c.Call(ctx, http.MethodPost, api.EdgePath("hallway", "hello"), hello, &reply)
//
// Bodies are JSON, except what is sealed (package vault): chunks, drafts of manifests and pieces of
// logs travel as application/octet-stream. Every reply that is no success is a [Problem].
//
// The package decides nothing; the server is package master, the edge's side package ship.
package api
