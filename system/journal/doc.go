// Package journal is a log of numbered records that survives crashes, and says so when it did not.
package journal
