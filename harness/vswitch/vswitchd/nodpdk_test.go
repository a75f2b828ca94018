//go:build !dpdk

package vswitchd

import (
	"errors"
	"testing"

	"metronome/internal/require"
	"metronome/system/packet"
)

// What runs on DPDK is not tested by a build without it, which says so.
func TestOnDPDK(t *testing.T) {
	_, err := Open(Config{Ports: []Port{{Name: "a", Socket: "a.sock"}}})
	var missing *packet.ErrUnavailable
	if !errors.As(err, &missing) {
		t.Fatal(err)
	}
	require.Skip(t, "dpdk", err)
}
