package order

import (
	"errors"
	"fmt"
	"slices"
)

// Config starts an orderer, whatever its algorithm. Exactly one of three beginnings applies:
// Bootstrap for an initial member of a new cluster, Restart for a replica whose state survived,
// neither for a joiner, which holds nothing and waits for a snapshot. An algorithm whose members
// are fixed refuses a joiner.
type Config struct {
	// ID is the life's id (R1): never reused, never 0.
	ID uint64
	// ElectionTicks is the least number of ticks without a leader before campaigning; timeouts are
	// drawn from [ElectionTicks, 2*ElectionTicks). A leader that no majority answers steps down in
	// the same time. HeartbeatTicks is how often a leader speaks, at most a few a tenth of that.
	ElectionTicks, HeartbeatTicks int
	// Gate tells what this replica durably holds.
	Gate Gate
	// Bootstrap is the initial membership, the same at all initial members and used once: it stands
	// for a snapshot of nothing at position 1, term 1.
	Bootstrap *Members
	// Restart continues this life from what was durable.
	Restart *Restart
	// Volatile is for memory durability: Ready.Persist carries a number and no records.
	Volatile bool
	// MaxWaitingBytes bounds what waits at the gate; 0 means 4 MiB.
	MaxWaitingBytes int
	// Seed is of whatever an algorithm of ours draws. Raft draws from crypto/rand (R18).
	Seed uint64
	// AcceptQuorum is how many members have to accept, 0 for a majority. An algorithm with flexible
	// quorums takes more than that, and needs fewer to elect in return; none takes less (R13).
	AcceptQuorum int
}

// Restart is what survived: where the durable state stands in the sequence, and every record since
// that state, or since the last fresh one, in the order of Ready.Persist. For an initial member
// without a snapshot Snapshot is {Position: 1, Term: 1, Members: Config.Bootstrap's}; for a joiner
// that has restored nothing yet it is zero.
type Restart struct {
	Snapshot SnapshotMeta
	Records  [][]byte
}

// Validate says what is wrong with a configuration. name is the algorithm's, reserved tells ids that
// it uses for itself.
func (c *Config) Validate(name string, reserved func(id uint64) bool) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("order/%s: "+format, append([]any{name}, args...)...)
	}
	switch {
	case c.ID == 0 || reserved(c.ID):
		return fail("id %d is reserved: use a life id (life<<8 | seat)", c.ID)
	case c.Gate == nil:
		return fail("no gate: acceptance would prove nothing; set Config.Gate")
	case c.HeartbeatTicks < 1 || c.ElectionTicks <= c.HeartbeatTicks:
		return fail("%d election ticks and %d heartbeat ticks: want election > heartbeat >= 1",
			c.ElectionTicks, c.HeartbeatTicks)
	case c.Bootstrap != nil && c.Restart != nil:
		return fail("both Bootstrap and Restart: a cluster is begun once (R1)")
	case c.Bootstrap != nil && !c.Bootstrap.WellFormed(reserved):
		return fail("Bootstrap: want at least one voter, and every id once")
	}
	return nil
}

// ErrStatic refuses a life that is no founding member where the members are fixed.
var ErrStatic = errors.New("order: this algorithm's members are fixed: a life that lost its state cannot " +
	"come back. Next: bring back its data directory, or restore a backup to a new cluster; with " +
	"\"consensus: raft\" it would join as a new life")

// WellFormed reports whether a configuration is one to go by: some voter, nobody twice, no reserved
// id, and no change under way.
func (m *Members) WellFormed(reserved func(id uint64) bool) bool {
	ids := slices.Concat(m.Voters, m.Learners)
	slices.Sort(ids)
	for i, id := range ids {
		if id == 0 || reserved(id) || i > 0 && ids[i-1] == id {
			return false
		}
	}
	return len(m.Voters) > 0 && len(m.Outgoing) == 0
}

// CutOf decodes what the gate has to judge of an encoded decision: nil if there is nothing to hold.
func CutOf(decision []byte) (Cut, error) {
	if len(decision) == 0 {
		return nil, nil
	}
	d, err := DecodeDecision(decision)
	return d.Cut, err
}
