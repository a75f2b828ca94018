package raft

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

var library = ordertest.Algorithm{Name: "raft", Describe: Describe, OneTerm: true, Networks: 40,
	Seed: seedElections, Start: func(c order.Config) (order.Orderer, error) { return New(c) }}

// What the conformance suite demands, raft does too: it is what the others are compared with.
func TestConformance(t *testing.T) { ordertest.Run(t, library) }
