// Package replica is a database server. Today it holds the first of its three kinds of cores:
//
//   - ingest cores poll a port for frames and place them in their lanes ([IngestCore])
//   - one ordering core agrees with the other replicas on cuts (not built yet)
//   - apply cores execute what a cut covers (not built yet)
//
// A core here is a loop body without a loop: the caller owns the thread, its CPU and its end. See
// [IngestCore.Poll].
package replica
