package mencius

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

var mencius = ordertest.Algorithm{Name: "mencius", Describe: Describe, Leaderless: true,
	Fixed: true, OneTerm: true,
	Start: func(c order.Config) (order.Orderer, error) { return New(c) }}

func TestConformance(t *testing.T) { ordertest.Run(t, mencius) }
