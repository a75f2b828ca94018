package access

import "strings"

// Verb is something that may be done to a key.
type Verb uint8

// The verbs. Over keys at an edge: Read covers get, list and watch, for who may read what lies under a
// prefix may know its names. At the master, keys are the names of edges: Backup appends, Restore reads
// backups. Admin is everything that is not a key: status, metrics, profiles.
const (
	Read Verb = iota
	Write
	Delete
	Backup
	Restore
	Admin
	verbs
)

var verbNames = [verbs]string{"read", "write", "delete", "backup", "restore", "admin"}

// String is the verb as the credential file writes it.
func (v Verb) String() string {
	if v < verbs {
		return verbNames[v]
	}
	return "unknown"
}

// ParseVerb reads a verb's name.
func ParseVerb(s string) (Verb, bool) {
	for v, name := range verbNames {
		if s == name {
			return Verb(v), true
		}
	}
	return verbs, false
}

// verbSet is a set of verbs, a bit each.
type verbSet uint8

func setOf(list ...Verb) (s verbSet) {
	for _, v := range list {
		s |= 1 << v
	}
	return s
}

func (s verbSet) has(v Verb) bool { return v < verbs && s&(1<<v) != 0 }

// String lists the verbs as the credential file does.
func (s verbSet) String() string {
	var names []string
	for v := range verbs {
		if s.has(v) {
			names = append(names, v.String())
		}
	}
	return strings.Join(names, ",")
}

// Role bounds what the rights of a user may be.
type Role string

// The roles. A right beyond a role's bound is an error of the file, not a silent nothing.
const (
	RoleDevice Role = "device"      // read, write, delete
	RoleBackup Role = "edge-backup" // backup: an edge appends to its own backups and reads none
	RoleAdmin  Role = "admin"       // everything, everywhere, with no rights written
)

var roleBounds = map[Role]verbSet{
	RoleDevice: setOf(Read, Write, Delete),
	RoleBackup: setOf(Backup),
	RoleAdmin:  setOf(Read, Write, Delete, Backup, Restore, Admin),
}

// grant is one prefix and what may be done under it.
type grant struct {
	prefix string
	verbs  verbSet
}

// Principal is who makes a request, and what they may do. It is immutable and may be shared.
type Principal struct {
	name   string
	role   Role
	home   string
	rights []grant
}

// Name is the user's name.
func (p *Principal) Name() string { return p.name }

// Role is the user's role.
func (p *Principal) Role() Role { return p.role }

// Home is the edge that keeps a device's data, where edges have local stores; empty: any.
func (p *Principal) Home() string { return p.home }

// Allows reports whether the principal may do a verb to a key: the decoded key, never what stood in a URL.
// For a listing or a watch, key is the prefix that is asked for. What no right allows is denied.
func (p *Principal) Allows(v Verb, key string) bool {
	if p == nil {
		return false
	}
	for i := range p.rights {
		if p.rights[i].verbs.has(v) && strings.HasPrefix(key, p.rights[i].prefix) {
			return true
		}
	}
	return false
}

// Require is nil if the principal may do a verb to a key, or the *Refusal to answer with.
func (p *Principal) Require(v Verb, key string) error {
	if p.Allows(v, key) {
		return nil
	}
	return forbidden(p, v)
}
