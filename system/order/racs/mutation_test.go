//go:build mutation

package racs

import (
	"testing"

	"metronome/system/order/ordertest"
)

func TestEveryMutationIsNoticed(t *testing.T) {
	ordertest.Mutants(t, racs, "TestConformance|TestLed/RandomNetwork|TheHighest")
}
