package vswitch

import "metronome/system/packet/ethernet"

// MicrosoftKey is [ethernet.MicrosoftKey].
var MicrosoftKey = ethernet.MicrosoftKey

// Toeplitz is [ethernet.Toeplitz].
type Toeplitz = ethernet.Toeplitz

// NewToeplitz is [ethernet.NewToeplitz].
func NewToeplitz(key []byte) *Toeplitz { return ethernet.NewToeplitz(key) }

// Queue is [ethernet.Queue].
func Queue(hash uint32, queues int) int { return ethernet.Queue(hash, queues) }

const ethernetBytes = ethernet.EthernetBytes
