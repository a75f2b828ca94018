package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"metronome/internal/strictyaml"
	"metronome/system/access/secretfile"
)

// Bounds of the credential file.
const (
	// MaxFile bounds the file's bytes.
	MaxFile = 4 << 20
	// MaxUsers bounds its users.
	MaxUsers  = 4096
	maxName   = 64
	maxRights = 64
	maxPrefix = 1024 // of a key, too
	version   = 1
)

// File is the credential file as it is written. An example:
//
//	version: 1
//	cost: 10                       # of new bcrypt hashes; older, cheaper ones are renewed at log-in
//	users:
//	  sensor-7:
//	    role: device
//	    password: $2a$10$...       # or token: sha256:..., or certificate: true, or several of them
//	    note: hallway, above the door
//	    rights:
//	      - prefix: home/hallway/  # bytes, as they are: home/1 covers home/10, home/1/ does not
//	        verbs: [read, write]
type File struct {
	Version int             `yaml:"version"`
	Cost    int             `yaml:"cost"`
	Users   map[string]User `yaml:"users"`

	comments yaml.CommentMap
}

// User is one user of the file.
type User struct {
	Role        Role    `yaml:"role"`
	Password    string  `yaml:"password,omitempty"`    // bcrypt
	Token       string  `yaml:"token,omitempty"`       // sha256:...
	Certificate bool    `yaml:"certificate,omitempty"` // a client certificate of this name will do
	Home        string  `yaml:"home,omitempty"`        // the edge that keeps this device's data
	Note        string  `yaml:"note,omitempty"`        // for people
	Rights      []Right `yaml:"rights,omitempty"`
}

// Right is a prefix of keys and what may be done under it.
type Right struct {
	Prefix string   `yaml:"prefix"`
	Verbs  []string `yaml:"verbs,flow"`
}

// NewFile is a file without users: nobody may do anything.
func NewFile() *File {
	return &File{Version: version, Cost: DefaultCost, Users: map[string]User{}}
}

// ParseFile reads a credential file and names everything that is wrong with it, by line. No error shows
// what stands in the file, for that may be a secret.
func ParseFile(source []byte) (*File, error) {
	if len(source) > MaxFile {
		return nil, fmt.Errorf("credentials: %d bytes: at most %d", len(source), MaxFile)
	}
	f := NewFile()
	f.Version = 0 // it must say so itself
	doc, err := decode(source, f)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", withoutSource(err))
	}
	if err := f.check(doc); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if f.Users == nil {
		f.Users = map[string]User{}
	}
	return f, nil
}

// decode outlives the YAML library's panics, of which fuzzing found one (an unknown tag before a list): a
// bad file must not end a server that has a good one in use.
func decode(source []byte, into *File) (doc *strictyaml.Document, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("not readable as YAML")
		}
	}()
	return strictyaml.Decode(source, into)
}

// ReadFile reads the credential file at path, which must not be open to others.
func ReadFile(path string) (*File, error) {
	b, err := secretfile.Read(path, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	f, err := ParseFile(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// withoutSource takes what an error quotes of the file out of it.
func withoutSource(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var list []error
		for _, e := range joined.Unwrap() {
			list = append(list, withoutSource(e))
		}
		return errors.Join(list...)
	}
	var e *strictyaml.Error
	if !errors.As(err, &e) {
		return errors.New("no YAML of a credential file")
	}
	return &strictyaml.Error{Line: e.Line, Text: unquoted(e.Text)}
}

// unquoted is a message without what it quotes: unknown key: did you mean rights?
func unquoted(text string) string {
	i, j := strings.IndexByte(text, '"'), strings.LastIndexByte(text, '"')
	if i < 0 {
		return text
	}
	return strings.TrimSpace(text[:i]) + text[j+1:]
}

// check gathers what is wrong with values.
func (f *File) check(doc *strictyaml.Document) error {
	var errs []error
	wrong := func(path, format string, args ...any) {
		errs = append(errs, &strictyaml.Error{Line: doc.Line(path), Text: fmt.Sprintf(format, args...)})
	}
	if f.Version != version {
		wrong("version", "version %d: this program reads version %d", f.Version, version)
	}
	if err := checkCost(f.Cost); err != nil {
		wrong("cost", "%v", err)
	}
	if len(f.Users) > MaxUsers {
		wrong("users", "%d users: at most %d", len(f.Users), MaxUsers)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Users)) {
		shown := name
		if checkName(name) != nil {
			shown = "a user" // what is no name may be a password that slipped
		}
		f.checkUser(name, func(key, format string, args ...any) {
			wrong("users."+name+key, "%s: %s", shown, fmt.Sprintf(format, args...))
		})
	}
	return errors.Join(errs...)
}
