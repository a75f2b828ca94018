package baxos

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

var backing = ordertest.Algorithm{Name: "baxos", Describe: Describe, Fixed: true, Leaderless: true,
	Start: func(c order.Config) (order.Orderer, error) { return New(c) }}

func TestConformance(t *testing.T) { ordertest.Run(t, backing) }
