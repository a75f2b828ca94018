// Package version says which commit a binary was built from. It knows nothing of releases: a run is
// identified by its commit.
package version
