//go:build mutation

package rabia

import (
	"testing"

	"metronome/system/order/ordertest"
)

func TestEveryMutationIsNoticed(t *testing.T) {
	ordertest.Mutants(t, rabia, "TestConformance|TestA/RandomNetwork")
}
