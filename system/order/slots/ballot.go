package slots

import "fmt"

// MaxNumber bounds ballots and slots: no cluster gets that far, and sums cannot wrap around.
const MaxNumber = 1 << 62

// A ballot is a round, and whose it is: no two members use the same one.

// Ballot is a member's, by index, in a round.
func Ballot(round uint64, member int) uint64 { return round<<8 | uint64(member) }

// Owner is the index of the member that a ballot belongs to.
func Owner(ballot uint64) int { return int(ballot & 0xff) }

// Round is a ballot's.
func Round(ballot uint64) uint64 { return ballot >> 8 }

// Name is how people see a ballot.
func Name(ballot uint64) string { return fmt.Sprintf("%d.%d", Round(ballot), Owner(ballot)) }
