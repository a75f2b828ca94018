package strictyaml

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Address string        `yaml:"address"`
	Wait    time.Duration `yaml:"wait"`
	Cores   []int         `yaml:"cores"`
}

type outer struct {
	Name  string           `yaml:"name"`
	Count int              `yaml:"count"`
	Inner inner            `yaml:"inner"`
	List  []inner          `yaml:"list"`
	ByKey map[string]inner `yaml:"by_key"`
	Maybe *inner           `yaml:"maybe"`
	Size  uint             `yaml:"size"`
	On    bool             `yaml:"on"`
	IP    netip.Addr       `yaml:"ip"`
	skip  int
}

func TestDecodesOverDefaults(t *testing.T) {
	o := outer{Count: 7, Inner: inner{Wait: time.Second}}
	_, err := Decode([]byte("name: a\ninner:\n  address: x\nlist:\n  - wait: 5ms\n"), &o)
	if err != nil {
		t.Fatal(err)
	}
	if o.skip != 0 || o.Name != "a" || o.Count != 7 || o.Inner.Wait != time.Second || o.Inner.Address != "x" ||
		o.List[0].Wait != 5*time.Millisecond {
		t.Errorf("got %+v", o)
	}
	if _, err := Decode(nil, &o); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := Decode([]byte(`{"name": "q", 'count': 8}`), &o); err != nil || o.Name != "q" || o.Count != 8 {
		t.Errorf("quoted keys: %+v, %v", o, err)
	}
}

func TestFindings(t *testing.T) {
	cases := []struct{ name, source, want string }{
		{"unknown", "nam: a", `line 1: unknown key "nam": did you mean name? (nam: a)`},
		{"unknown, nested", "inner:\n  adress: a", `line 2: unknown key "adress": did you mean address?`},
		{"unknown, in a list", "list:\n  - wait: 1s\n  - wiat: 1s",
			`line 3: unknown key "wiat": did you mean wait?`},
		{"unknown, in a map", "by_key:\n  k:\n    core: []", `line 3: unknown key "core": did you mean cores?`},
		{"unknown, behind a pointer", "maybe: {addres: 1}", `line 1: unknown key "addres": did you mean address?`},
		{"nothing near", "zzzzzzzz: 1",
			`unknown key "zzzzzzzz": there is name, count, inner, list, by_key, maybe, size, on, ip`},
		{"not a key", "skip: 1", `line 1: unknown key "skip"`},
		{"a key of another level", "address: x", `line 1: unknown key "address"`},
		{"unknown, quoted", "\"nam\": a", `line 1: unknown key "nam": did you mean name?`},
		{"a tag on a value", "count: !!int 3", "line 1: tags are not supported"},
		{"a tag before a list", "list:\n  !x\n  - wait: 1s", "line 2: tags are not supported"},
		{"a tag before everything", "!x\nname: a", "line 1: tags are not supported"},
		{"all at once", "nam: a\ncoun: 3", "line 2: unknown key \"coun\""},
		{"twice", "name: a\nname: b", `line 2: mapping key "name" already defined`},
		{"type", "count: x", "line 1: want a whole number (count: x)"},
		{"too large", "count: 99999999999999999999", "line 1: want a whole number"},
		{"negative", "size: -1", "line 1: want a whole number, not negative"},
		{"no bool", "on: perhaps", "line 1: want true or false"},
		{"scalar for a struct", "inner: 5", "line 1: want keys with values"},
		{"list for a struct", "inner: [5]", "line 1: want keys with values"},
		{"struct for a scalar", "count: {a: 1}", "line 1: want a whole number"},
		{"scalar for a list", "list: 5", "line 1: want a list"},
		{"in a list", "inner:\n  cores: [1, x]", "line 2: want a whole number"},
		{"no unit", "inner:\n  wait: 5", "line 2: want a duration with its unit, as in 20ms (wait: 5)"},
		{"a type's own error", "ip: 1.2.3", `line 1: ParseAddr("1.2.3")`},
		{"tab", "inner:\n\twait: 5s", "line 2: found character"},
		{"open bracket", "list: [1,2", "line 1: sequence end"},
		{"two documents", "name: a\n---\nname: b", "line 3: a second document"},
		{"anchor", "inner: &a {wait: 1s}", "line 1: anchors and aliases"},
		{"alias", "inner: *a", "line 1: "},
		{"merge", "inner:\n  <<: {wait: 1s}", "line 2: merging is not supported"},
		{"not a mapping", "- a", "line 1: "},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Decode([]byte(tc.source), &outer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%T is no *Error", err)
			}
		})
	}
}

func TestLine(t *testing.T) {
	d, err := Decode([]byte("name: a\nlist:\n  - wait: 1s\n    address: x\n  - wait: 2s\n"), &outer{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"name": 1, "list": 2, "list[0]": 3, "list[0].address": 4, "list[1].wait": 5, "list[1].address": 5,
		"list[9]": 2, "inner": 0, "inner.wait": 0, "": 0,
	} {
		if got := d.Line(path); got != want {
			t.Errorf("line of %q is %d, want %d", path, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"stream", "datagram", "ops"}
	for name, want := range map[string]string{"straem": "stream", "datagrams": "datagram", "opps": "ops",
		"completely-else": ""} {
		if got := Nearest(name, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name: a\ninner:\n  wait: 5s\nlist: [{cores: [1, 2]}]\n")
	f.Add("a: &x [*x]\n<<: {}\n? b\n: c\n")
	f.Fuzz(func(_ *testing.T, source string) {
		d, _ := Decode([]byte(source), &outer{})
		d.Line("list[0].cores[1]")
	})
}
