package cluster

import (
	"strings"
	"testing"
)

// An algorithm that there is not, and a quorum that it cannot have, are refused with what would do.
func TestConsensusIsOneThatThereIs(t *testing.T) {
	for name, test := range map[string]struct {
		consensus string
		quorum    int
		want      string
	}{
		"the default":                 {"raft", 0, ""},
		"a majority, spelt out":       {"raft", 2, ""},
		"ours":                        {"multipaxos", 0, ""},
		"flexible":                    {"multipaxos", 3, ""},
		"without a leader":            {"mencius", 0, ""},
		"without one, flexible":       {"baxos", 3, ""},
		"misspelt":                    {"paxos", 0, `"paxos": use raft, multipaxos, mencius, baxos, rabia or racs`},
		"raft is not flexible":        {"raft", 3, "raft commits with a majority, 2"},
		"less than a majority":        {"multipaxos", 1, "use 2 to 3"},
		"more than there are":         {"multipaxos", 4, "use 2 to 3"},
		"fewer than nothing, of ours": {"multipaxos", -1, "use 2 to 3"},
	} {
		c, err := Load(example)
		if err != nil {
			t.Fatal(err)
		}
		c.Replicas = c.Replicas[:3]
		c.Consensus, c.AcceptQuorum = test.consensus, test.quorum
		_, err = c.Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// Peers of another algorithm differ in a section that the handshake does not let pass; a build that
// knew of raft only is one of raft.
func TestConsensusIsInTheDigest(t *testing.T) {
	c, err := Load(example)
	if err != nil {
		t.Fatal(err)
	}
	raft := c.Digest()
	c.Consensus = "multipaxos"
	if got := raft.Differs(c.Digest()); len(got) != 1 || got[0] != "consensus" {
		t.Errorf("they differ in %v", got)
	}
	b := raft.Append(nil)
	old, ok := DecodeDigest(b[:len(b)-8])
	if !ok || old != raft {
		t.Errorf("a digest without the section: %v, %v", old.Differs(raft), ok)
	}
}
