package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Role is what a certificate's holder is.
type Role string

// The roles of the IoT tier.
const (
	Edge   Role = "edge"
	Master Role = "master"
	Device Role = "device"
)

// scheme is that of identities; the cluster's certificates use it too, with one path segment instead of
// two, so neither can be taken for the other.
const scheme = "metronome"

// maxLabel bounds home and id, as a DNS label.
const maxLabel = 63

// Name is who a certificate's holder is.
type Name struct {
	Home string // the installation, whose CA it is: a DNS label
	Role Role
	ID   string // unique in its role: letters, digits, - _ .
}

// String is the name as a URI: metronome://home/edge/hallway.
func (n Name) String() string { return n.uri().String() }

func (n Name) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: n.Home, Path: "/" + string(n.Role) + "/" + n.ID}
}

// ParseRole reads "edge/hallway": role and id, as commands take them.
func ParseRole(s string) (Role, string, error) {
	role, id, _ := strings.Cut(s, "/")
	n := Name{Home: "home", Role: Role(role), ID: id}
	return n.Role, n.ID, n.Check()
}

// Check says what is wrong with a name.
func (n Name) Check() error {
	if err := checkLabel("home", n.Home, "-"); err != nil {
		return err
	}
	if n.Role != Edge && n.Role != Master && n.Role != Device {
		return fmt.Errorf("role %q: use %s, %s or %s", n.Role, Edge, Master, Device)
	}
	if strings.Trim(n.ID, ".") == "" {
		return fmt.Errorf("id %q: use letters, digits, dots, - and _", n.ID)
	}
	return checkLabel("id", n.ID, "-_.ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

func checkLabel(what, s, more string) error {
	if s == "" || len(s) > maxLabel {
		return fmt.Errorf("%s %q: use 1 to %d characters", what, s, maxLabel)
	}
	for _, c := range []byte(s) {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789"+more, rune(c)) {
			return fmt.Errorf("%s %q: use a-z, 0-9 and %s", what, s, more)
		}
	}
	return nil
}

// errNoName is a certificate from elsewhere.
var errNoName = errors.New("the certificate names nobody of this kind: " +
	"it needs one URI, metronome://HOME/ROLE/ID")

// nameOf is whom a certificate names. Only the one canonical spelling is read.
func nameOf(cert *x509.Certificate) (Name, error) {
	if len(cert.URIs) != 1 {
		return Name{}, errNoName
	}
	uri := cert.URIs[0]
	role, id, _ := strings.Cut(strings.TrimPrefix(uri.Path, "/"), "/")
	n := Name{Home: uri.Host, Role: Role(role), ID: id}
	if err := n.Check(); err != nil || uri.String() != n.String() {
		return Name{}, errNoName
	}
	return n, nil
}
