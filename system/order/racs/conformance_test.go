package racs

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

var racs = ordertest.Algorithm{Name: "racs", Describe: Describe, Fixed: true, Drawn: true,
	Start: func(c order.Config) (order.Orderer, error) { return New(c) }}

func TestConformance(t *testing.T) { ordertest.Run(t, racs) }

func TestLed(t *testing.T) { ordertest.RunLed(t, racs) }
