package access

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"Basic YWxpY2U6cGFzc3dvcmQ=", "basic  YTpi ", "Basic", "Basic ", "Bearer x",
		"Basic Og==",
		"Basic YWxpY2U=", "Basic YTpi\n", "BASIC YTo6Og==", "Basic " + strings.Repeat("YWFh", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		var l login
		if l.parse(header) != nil {
			return
		}
		// What is read must be what the standard library reads, and must come back as the same header.
		r := http.Request{Header: http.Header{"Authorization": {header}}}
		user, password, ok := r.BasicAuth()
		if ok && (user != string(l.user()) || password != string(l.password())) {
			t.Errorf("%q: read %q %q, the library %q %q", header, l.user(), l.password(), user, password)
		}
		again := base64.StdEncoding.EncodeToString([]byte(string(l.user()) + ":" + string(l.password())))
		if !strings.HasSuffix(strings.TrimRight(header, " "), again) {
			t.Errorf("%q: read %q, %q", header, l.user(), l.password())
		}
		if len(l.user()) == 0 || strings.Contains(string(l.user()), ":") {
			t.Errorf("user %q", l.user())
		}
		if l.plausible() && (len(l.password()) > MaxPassword || strings.Contains(string(l.password()), "\x00")) {
			t.Errorf("password %q", l.password())
		}
	})
}

// Whatever the file, reading never panics, errors never show what looks like a secret, and what is accepted
// survives being written.
func FuzzFile(f *testing.F) {
	const marker = "hunter2!zz"
	f.Add(withHashes(twoUsers))
	f.Add(commented)
	f.Add("version: 1\nusers:\n  a: " + marker + "\n")
	f.Add("version: 1\nusers:\n  a:\n    password: {" + marker + ": x}\n")
	f.Add("version: 1\n" + marker + ": x\n")
	f.Add("version: 1\nusers:\n  a:\n    " + marker + "\n    role: \"" + marker + "\n")
	f.Add("version: 1\nusers:\n  a: &" + marker + " {}\n  b: *" + marker + "\n")
	f.Add("version: '" + marker + "'\ncost: " + marker + "\n")
	f.Add("version: 1\nusers:\n  a:\n    rights: !x\nb: 0\n")
	f.Add("users:\n\t" + marker + "\n")
	f.Fuzz(func(t *testing.T, source string) {
		file, err := ParseFile([]byte(source))
		if err != nil {
			if strings.Contains(source, marker) && strings.Contains(err.Error(), marker) {
				t.Errorf("%q: the error shows a secret: %v", source, err)
			}
			return
		}
		file.Warnings()
		file.compile()
		b, err := file.Marshal()
		if err != nil {
			return // said so, and wrote nothing
		}
		again, err := ParseFile(b)
		if err != nil || len(file.Users) > 0 && !reflect.DeepEqual(again.Users, file.Users) {
			t.Errorf("%q became %q: %v", source, b, err)
		}
	})
}

func FuzzHashCost(f *testing.F) {
	f.Add(aliceHash)
	f.Add("$2a$10$")
	f.Fuzz(func(t *testing.T, hash string) {
		if c := hashCost(hash); c != 0 && len(hash) != hashLen {
			t.Errorf("%q has cost %d", hash, c)
		}
	})
}
