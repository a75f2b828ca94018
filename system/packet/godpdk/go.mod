// A port over a library that the repository's module does not depend on: see README.md.
module metronome/system/packet/godpdk

go 1.26.0

require (
	github.com/yerden/go-dpdk v0.1.0
	golang.org/x/sys v0.49.0
	metronome v0.0.0
)

require (
	github.com/klauspost/cpuid/v2 v2.4.0 // indirect
	github.com/zeebo/xxh3 v1.1.0 // indirect
	go.etcd.io/raft/v3 v3.7.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace metronome => ../../..
