// Package edgeproc runs a real edge server, metronome edge, for experiments: a process of its own, over
// HTTPS, with a CA, a certificate and a user made for the purpose, all in one folder.
//
//	e, err := edgeproc.Start(ctx, edgeproc.Config{Command: []string{"bin/metronome", "edge"}, Dir: dir,
//		CPU: -1})
//	defer e.Stop()
//	err = e.Batch(ctx, ops)
//
// Starting again in the same folder goes on with the same data, credentials and certificate, on a new port.
// The methods that speak to it are for preparing trials and for checking what came of them, not for
// measuring.
package edgeproc
