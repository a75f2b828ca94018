// Package keep decides which backups stay and what may be removed.
//
// [Policy.Keep] names the backups to keep: the newest ones, and of the last hours, days, weeks and
// months that have any, the newest of each. It never asks what time it is: a clock that jumped
// while a backup was taken puts that one into a wrong hour, and costs no other its place.
//
// [Ages.Step] is the two steps of removing: what nobody wants is marked, and removed only when it
// has been unwanted for a grace time in one piece. The grace is counted in time that the program
// was running and looking, so a clock that jumps a year ahead ends no grace.
//
// The package is pure. What must stay for other reasons, as the last backup that was proven
// restorable, its caller says.
package keep
