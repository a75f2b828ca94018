// Package order agrees on cuts.
package order
