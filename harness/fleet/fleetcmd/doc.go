// Package fleetcmd is the commands of package fleet: cluster up, status, collect, down.
//
// It does not know how a cluster is brought up; it reads flags and prints.
package fleetcmd
