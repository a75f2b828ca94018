package sim

import (
	"strings"

	"metronome/internal/mutate"
)

// FamiliesFor are the profiles under which a mutation can matter: those with disks for rules about disks,
// those without for all others.
func FamiliesFor(m mutate.Mutation) (names []string) {
	if by := m.Orderer(); by != "" && by != "raft" { // rules about who follows whom
		return []string{"leaders"}
	}
	for _, p := range Profiles {
		if strings.HasPrefix(p.Name, "disk") == m.OfDisk() {
			names = append(names, p.Name)
		}
	}
	return names
}
