package access

import (
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/goccy/go-yaml"

	"metronome/system/access/secretfile"
)

// Errors that callers of the editing functions branch on.
var (
	// ErrExists: a user of this name is there already.
	ErrExists = errors.New("the user exists")
	// ErrUnknown: no user of this name is there.
	ErrUnknown = errors.New("no such user")
)

// Edit changes the credential file at path: it is read, changed, checked as a server would check it, and
// replaced whole, with mode 0600, synced together with its directory. Other editors wait. A file that does
// not exist begins as [NewFile]. Where change returns an error nothing is written. Comments survive.
func Edit(path string, change func(*File) error) error {
	unlock, err := secretfile.Lock(path)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := readCommented(path)
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	b, err := f.Marshal()
	if err != nil {
		return err
	}
	return secretfile.Write(path, b)
}

func readCommented(path string) (*File, error) {
	b, err := secretfile.Read(path, MaxFile)
	if errors.Is(err, os.ErrNotExist) {
		return NewFile(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	f, err := ParseFile(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.comments = yaml.CommentMap{}
	if err := yaml.UnmarshalWithOptions(b, &File{}, yaml.CommentToMap(f.comments)); err != nil {
		return nil, fmt.Errorf("%s: credentials: %w", path, withoutSource(err))
	}
	return f, nil
}

// Marshal is the file as it is written, after a check.
func (f *File) Marshal() ([]byte, error) {
	f.Version = version
	b, err := yaml.MarshalWithOptions(f, yaml.WithComment(f.comments), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("write credentials: %w", err)
	}
	again, err := ParseFile(b)
	if err != nil {
		return nil, err
	}
	if len(f.Users) > 0 && !reflect.DeepEqual(again.Users, f.Users) {
		return nil, errors.New("write credentials: a name or prefix does not survive YAML: use other characters")
	}
	return b, nil
}

// Add adds a user.
func (f *File) Add(name string, u User) error {
	if err := checkName(name); err != nil {
		return err
	}
	if _, ok := f.Users[name]; ok {
		return fmt.Errorf("%s: %w: change it with metronome user passwd, or remove it first", name, ErrExists)
	}
	if len(f.Users) >= MaxUsers {
		return fmt.Errorf("the file has %d users: at most %d", len(f.Users), MaxUsers)
	}
	f.Users[name] = u
	return nil
}

// Remove removes a user.
func (f *File) Remove(name string) error {
	if _, ok := f.Users[name]; !ok {
		return unknownUser(name)
	}
	delete(f.Users, name)
	return nil
}

// SetSecret replaces what a user logs in with: a password's hash, a token's stored form, or both. An empty
// one is taken away.
func (f *File) SetSecret(name, password, token string) error {
	u, ok := f.Users[name]
	if !ok {
		return unknownUser(name)
	}
	u.Password, u.Token = password, token
	f.Users[name] = u
	return nil
}

func unknownUser(name string) error {
	return fmt.Errorf("%q: %w: see metronome user list", name, ErrUnknown)
}
