package multipaxos

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

var multi = ordertest.Algorithm{Name: "multipaxos", Describe: Describe, Fixed: true,
	Start: func(c order.Config) (order.Orderer, error) { return New(c) }}

func TestConformance(t *testing.T) { ordertest.Run(t, multi) }

func TestLed(t *testing.T) { ordertest.RunLed(t, multi) }
