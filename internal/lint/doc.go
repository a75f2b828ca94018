// Package lint is the law of this repository as a test: who may import whom, what every package and
// experiment must carry, and what must not be committed. Run it with
//
//	go test ./internal/lint
//
// A [Rule] looks at a [Tree], a snapshot of the repository's files, and returns findings. The same rules
// run over small made-up trees that break them, so that a rule which can no longer find anything fails.
//
// The idea of linting by a test is Pebble's internal/lint and TigerBeetle's tidy.zig. What golangci-lint
// can see (.golangci.yaml) is left to it; this package neither formats nor type-checks.
package lint
