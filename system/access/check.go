package access

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// complain notes what is wrong with a key of a user: ".password".
type complain func(key, format string, args ...any)

func (f *File) checkUser(name string, wrong complain) {
	if err := checkName(name); err != nil {
		wrong("", "%v", err)
	}
	u := f.Users[name]
	if u.Password == "" && u.Token == "" && !u.Certificate {
		wrong("", "no way to log in: give it a password, a token or certificate: true")
	}
	if u.Home != "" && checkName(u.Home) != nil {
		wrong(".home", "names of edges are made like those of users")
	}
	u.checkSecrets(wrong)
	u.checkRights(wrong)
}

func (u *User) checkSecrets(wrong complain) {
	switch cost := hashCost(u.Password); {
	case u.Password == "":
	case cost == 0:
		wrong(".password", "no bcrypt hash: passwords are never stored as they are, use metronome user passwd")
	case cost < MinCost:
		wrong(".password", "bcrypt cost %d is below %d: set the password anew with metronome user passwd", cost,
			MinCost)
	case cost > MaxCost:
		wrong(".password", "bcrypt cost %d is above %d: one attempt would keep a core busy for seconds", cost,
			MaxCost)
	}
	if u.Token != "" {
		if _, err := tokenDigest(u.Token); err != nil {
			wrong(".token", "%v", err)
		}
	}
}

func (u *User) checkRights(wrong complain) {
	bound, known := roleBounds[u.Role]
	switch {
	case !known:
		wrong(".role", "unknown role: use %s, %s or %s", RoleDevice, RoleBackup, RoleAdmin)
		return
	case u.Role == RoleAdmin && len(u.Rights) > 0:
		wrong(".rights", "an admin may do everything: leave rights out, or take another role")
	case len(u.Rights) > maxRights:
		wrong(".rights", "%d rights: at most %d", len(u.Rights), maxRights)
	}
	for i, r := range u.Rights {
		path := fmt.Sprintf(".rights[%d]", i)
		if len(r.Prefix) > maxPrefix {
			wrong(path+".prefix", "%d bytes: keys have at most %d", len(r.Prefix), maxPrefix)
		}
		if len(r.Verbs) == 0 {
			wrong(path, "allows nothing: name verbs (%s), or remove it", bound)
		}
		for _, name := range r.Verbs {
			if v, ok := ParseVerb(name); !ok || !bound.has(v) {
				wrong(path+".verbs", "no such right for role %s: it may have %s", u.Role, bound)
			}
		}
	}
}

// checkName keeps to what needs no escaping anywhere: header, log line, certificate, shell.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("user names have 1 to %d characters", maxName)
	}
	for _, c := range []byte(name) {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@", rune(c)) {
			return errors.New("user names are made of letters, digits, and - _ . @")
		}
	}
	return nil
}

// Warnings are what is allowed and probably not meant.
func (f *File) Warnings() (list []string) {
	for _, name := range slices.Sorted(maps.Keys(f.Users)) {
		u := f.Users[name]
		if u.Role != RoleAdmin && len(u.Rights) == 0 {
			list = append(list, fmt.Sprintf("%s has no rights: it can log in and do nothing", name))
		}
		for _, r := range u.Rights {
			if r.Prefix != "" && !strings.HasSuffix(r.Prefix, "/") {
				list = append(list, fmt.Sprintf("%s: prefix %q also covers %q: end it with / if that is not meant",
					name, r.Prefix, r.Prefix+"0"))
			}
		}
		if c := hashCost(u.Password); c > 0 && c < f.Cost {
			list = append(list, fmt.Sprintf("%s: bcrypt cost %d, new ones get %d: renewed at the next log-in", name,
				c, f.Cost))
		}
	}
	return list
}

// users is a file made ready to answer requests. It is immutable.
type users struct {
	byName map[string]*user
	cost   int // of new hashes
	decoy  int // the highest cost in use: what an unknown user costs
}

// user is one of them.
type user struct {
	principal Principal
	hash      string // bcrypt; empty: no password
	cost      int    // of hash
	hasToken  bool
	token     [sha256.Size]byte
	cert      bool
}

// hasPassword reports whether there is a hash to compare with; nil has none.
func (u *user) hasPassword() bool { return u != nil && u.hash != "" }

// compile makes a checked file ready.
func (f *File) compile() *users {
	us := &users{byName: make(map[string]*user, len(f.Users)), cost: f.Cost, decoy: MinCost}
	for name, u := range f.Users {
		c := &user{hash: u.Password, cost: hashCost(u.Password), cert: u.Certificate,
			principal: Principal{name: name, role: u.Role, home: u.Home, rights: u.compileRights()}}
		if sum, err := tokenDigest(u.Token); err == nil {
			c.token, c.hasToken = sum, true
		}
		us.byName[name] = c
		us.decoy = max(us.decoy, c.cost)
	}
	return us
}

func (u *User) compileRights() (list []grant) {
	if u.Role == RoleAdmin {
		return []grant{{"", roleBounds[RoleAdmin]}}
	}
	for _, r := range u.Rights {
		var set verbSet
		for _, name := range r.Verbs {
			v, _ := ParseVerb(name)
			set |= setOf(v)
		}
		list = append(list, grant{r.Prefix, set & roleBounds[u.Role]})
	}
	return list
}
