//go:build mutation

package multipaxos

import (
	"testing"

	"metronome/system/order/ordertest"
)

func TestEveryMutationIsNoticed(t *testing.T) {
	ordertest.Mutants(t, multi, "TestConformance|TestLed/RandomNetwork|TheHighest")
}
