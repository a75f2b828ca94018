// Package store is the key-value state machine.
package store
