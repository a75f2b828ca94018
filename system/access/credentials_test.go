package access

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestFindingsNameLineAndRemedy(t *testing.T) {
	one := func(lines string) string {
		return "version: 1\nusers:\n  alice:\n" + lines
	}
	hash := "    password: " + aliceHash + "\n"
	cases := []struct{ name, source, want string }{
		{"unknown key", one(hash + "    rigths: []\n"), "line 5: unknown key: did you mean rights?"},
		{"twice", "version: 1\nusers:\n  a: {role: admin, certificate: true}\n  a: {}\n", "line 4: mapping key"},
		{"no role", one(hash), "line 3: alice: unknown role: use device, edge-backup or admin"},
		{"no log-in", one("    role: admin\n"), "line 3: alice: no way to log in"},
		{"plain", one("    role: admin\n    password: hunter2\n"), "line 5: alice: no bcrypt hash"},
		{"cheap", one("    role: admin\n    password: " + fakeHash(9, "a") + "\n"), "bcrypt cost 9 is below 10"},
		{"dear", one("    role: admin\n    password: " + fakeHash(15, "a") + "\n"), "bcrypt cost 15 is above 14"},
		{"malformed", one("    role: admin\n    password: " + aliceHash[:59] + "!\n"), "no bcrypt hash"},
		{"short", one("    role: admin\n    password: " + aliceHash[:59] + "\n"), "no bcrypt hash"},
		{"token", one("    role: admin\n    token: mtk_x\n"), "line 5: alice: want sha256:"},
		{"admin with rights", one(hash + "    role: admin\n    rights: [{prefix: a, verbs: [read]}]\n"),
			"line 6: alice: an admin may do everything"},
		{"no verbs", one(hash + "    role: device\n    rights: [{prefix: a}]\n"), "allows nothing"},
		{"unknown verb", one(hash + "    role: device\n    rights: [{prefix: a, verbs: [raed]}]\n"),
			"no such right for role device: it may have read,write,delete"},
		{"backup reads", one(hash + "    role: edge-backup\n    rights: [{prefix: a, verbs: [restore]}]\n"),
			"it may have backup"},
		{"name", "version: 1\nusers:\n  'a:b': {role: admin, certificate: true}\n", "user names are made of"},
		{"file cost", "version: 1\ncost: 31\n", "line 2: bcrypt cost 31: use 10 to 14"},
		{"version", "version: 7\n", "line 1: version 7"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseFile([]byte(tc.source))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestFileIsBounded(t *testing.T) {
	if _, err := ParseFile(make([]byte, MaxFile+1)); err == nil {
		t.Error("bytes")
	}
	var b strings.Builder
	b.WriteString("version: 1\nusers:\n")
	for i := range MaxUsers + 1 {
		fmt.Fprintf(&b, "  u%d: {role: admin, certificate: true}\n", i)
	}
	if _, err := ParseFile([]byte(b.String())); err == nil || !strings.Contains(err.Error(), "at most 4096") {
		t.Errorf("users: %v", err)
	}
}

func TestRightsArePrefixTimesVerbAndDenyByDefault(t *testing.T) {
	r := newRig(t, twoUsers+`  backup:
    role: edge-backup
    certificate: true
    rights:
      - prefix: hallway/
        verbs: [backup]
  idle:
    role: device
    certificate: true
`)
	cases := []struct {
		user string
		verb Verb
		key  string
		want bool
	}{
		{"alice", Read, "home/a/x", true}, {"alice", Write, "home/a/", true}, {"alice", Delete, "home/a/x", false},
		{"alice", Read, "home/a", false}, {"alice", Read, "home/ab", false}, {"alice", Read, "", false},
		{"alice", Read, "x/home/a/x", false}, {"alice", Read, "home/A/x", false},
		{"alice", Read, "home/a/../b", true}, // keys are bytes; who takes them from URLs refuses dot segments
		{"alice", Read, "home%2Fa%2Fx", false}, {"alice", Admin, "home/a/x", false},
		{"alice", verbs, "home/a/x", false},
		{"bob", Admin, "", true}, {"bob", Delete, "anything", true}, {"bob", Restore, "hallway/", true},
		{"bob", verbs, "", false}, {"bob", 255, "", false},
		{"backup", Backup, "hallway/chunk", true}, {"backup", Restore, "hallway/chunk", false},
		{"backup", Delete, "hallway/chunk", false}, {"backup", Backup, "kitchen/chunk", false},
		{"idle", Read, "home/a/x", false},
	}
	for _, tc := range cases {
		p := &r.users.Load().byName[tc.user].principal
		if got := p.Allows(tc.verb, tc.key); got != tc.want {
			t.Errorf("%s %v %q: %v", tc.user, tc.verb, tc.key, got)
		}
		var ref *Refusal
		err := p.Require(tc.verb, tc.key)
		if (err == nil) != tc.want || err != nil && (!errors.As(err, &ref) || ref.Status != 403) {
			t.Errorf("%s %v %q: %v", tc.user, tc.verb, tc.key, err)
		}
	}
	var nobody *Principal
	if nobody.Allows(Read, "") || nobody.Require(Read, "") == nil {
		t.Error("nobody may do something")
	}
}

func TestWarnings(t *testing.T) {
	f, err := ParseFile([]byte(withHashes(strings.NewReplacer("home/a/", "home/a", "cost: 10", "cost: 12").
		Replace(twoUsers) + "  idle: {role: device, certificate: true}\n")))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(f.Warnings(), "\n")
	for _, want := range []string{`"home/a" also covers "home/a0"`, "idle has no rights", "bcrypt cost 10"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "\n") != 2 {
		t.Errorf("more than meant:\n%s", got)
	}
}

func TestNewPasswords(t *testing.T) {
	for password, good := range map[string]bool{
		"12345678": true, "1234567": false, "": false,
		strings.Repeat("x", 72): true, strings.Repeat("x", 73): false,
		"with\nline": false, "with\x00nul": false, "\xff\xfe\xfd1234567": false, "pässwört": true,
		aliceHash: false, tokenPrefix + "12345678": false, NewPassword(): true,
	} {
		if err := checkPassword(password); (err == nil) != good {
			t.Errorf("%q: %v", password, err)
		} else if err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	h, err := Hash(alicePassword, MinCost)
	right := bcrypt.CompareHashAndPassword([]byte(h), []byte(alicePassword)) == nil
	if err != nil || !right || hashCost(h) != MinCost {
		t.Errorf("%s, %v", h, err)
	}
	for _, cost := range []int{MinCost - 1, MaxCost + 1} {
		if _, err := Hash(alicePassword, cost); err == nil {
			t.Errorf("cost %d was accepted", cost)
		}
	}
}

const commented = `# Who may do what in the hallway.
version: 1 # the only one
users:
  # anna has the keys
  anna:
    role: admin # for now
    certificate: true
  lamp-2:
    role: device
    certificate: true
    rights:
      # its own room
      - prefix: home/lamp/
        verbs: [read]
# the end
`

func TestEditKeepsCommentsAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(path, []byte(commented), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Edit(path, func(f *File) error {
		return errors.Join(f.Add("zoe", User{Role: RoleAdmin, Certificate: true, Note: "yes"}), f.Remove("anna"))
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Who may do what", "# the only one", "# its own room", "# the end", "zoe"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
	if strings.Contains(string(b), "anna:") {
		t.Errorf("anna is still there:\n%s", b)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestEditRefusesWhatAServerWould(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	add := func(name string, u User) error {
		return Edit(path, func(f *File) error { return f.Add(name, u) })
	}
	admin := User{Role: RoleAdmin, Certificate: true}
	if err := add("anna", admin); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := add("anna", admin); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := add("a:b", admin); err == nil {
		t.Error("a colon in a name")
	}
	if err := add("plain", User{Role: RoleAdmin, Password: "hunter2"}); err == nil {
		t.Error("a password as it is")
	}
	wide := User{Role: RoleDevice, Certificate: true, Rights: []Right{{"", []string{"admin"}}}}
	if err := add("wide", wide); err == nil {
		t.Error("a right beyond the role")
	}
	for _, change := range []func(*File) error{
		func(f *File) error { return f.Remove("nobody") },
		func(f *File) error { return f.SetSecret("nobody", aliceHash, "") },
	} {
		if err := Edit(path, change); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Errorf("a refused edit changed the file:\n%s", after)
	}
}

func TestEditorsWaitForEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := Edit(path, func(f *File) error {
				return f.Add(fmt.Sprint("user", i), User{Role: RoleAdmin, Certificate: true})
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if f, err := ReadFile(path); err != nil || len(f.Users) != 20 {
		t.Errorf("%d users, %v", len(f.Users), err)
	}
	if list, _ := os.ReadDir(filepath.Dir(path)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestWhatYAMLWouldReadOtherwiseSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	names := []string{"null", "true", "no", "123", "1e3", "0x10", "1.5", "-", "...", "---", ".", "@home", "y"}
	for _, name := range names {
		if checkName(name) != nil {
			continue
		}
		err := Edit(path, func(f *File) error {
			return f.Add(name, User{Role: RoleDevice, Certificate: true, Note: name,
				Rights: []Right{{Prefix: name, Verbs: []string{"read"}}}})
		})
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		f, err := ReadFile(path)
		if err != nil || f.Users[name].Note != name || f.Users[name].Rights[0].Prefix != name {
			t.Errorf("%q came back as %+v, %v", name, f.Users[name], err)
		}
	}
}
