// Package rabia is not documented yet.
package rabia
