//go:build mutation

package baxos

import (
	"testing"

	"metronome/system/order/ordertest"
)

func TestEveryMutationIsNoticed(t *testing.T) {
	ordertest.Mutants(t, backing, "TestConformance")
}
