package rabia

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

var rabia = ordertest.Algorithm{Name: "rabia", Describe: Describe, Leaderless: true,
	Fixed: true, OneTerm: true, Networks: 40,
	Start: func(c order.Config) (order.Orderer, error) { return New(c) }}

func TestConformance(t *testing.T) { ordertest.Run(t, rabia) }
