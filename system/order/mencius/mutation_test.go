//go:build mutation

package mencius

import (
	"testing"

	"metronome/system/order/ordertest"
)

func TestEveryMutationIsNoticed(t *testing.T) {
	ordertest.Mutants(t, mencius, "TestConformance|TestA/RandomNetwork")
}
