package mastercmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"metronome/system/access/secretfile"
	"metronome/system/backup"
	"metronome/system/backup/bucket"
	"metronome/system/disk"
	"metronome/system/master"
)

// Place is where a master keeps edges' backups.
type Place struct {
	// a directory or s3://bucket/prefix; "" = in the master's
	Where       string `json:"where"`
	Endpoint    string `json:"s3_endpoint,omitempty"`    // of a bucket's server
	Region      string `json:"s3_region,omitempty"`      // of a bucket
	Credentials string `json:"s3_credentials,omitempty"` // file; "" = the environment's
}

// open is what opens the destination of one edge.
func (p *Place) open() (func(ctx context.Context, edge string) (backup.Destination, error), error) {
	if !bucket.IsURL(p.Where) {
		dir, err := filepath.Abs(p.Where)
		return master.Directories(disk.OS(), dir), err
	}
	base, err := bucket.Parse(p.Where)
	if err != nil {
		return nil, err
	}
	base.Endpoint, base.Region, base.Credentials = p.Endpoint, p.Region, p.Credentials
	return func(ctx context.Context, edge string) (backup.Destination, error) {
		c := base
		if c.Prefix != "" {
			c.Prefix += "/"
		}
		c.Prefix += edge
		return bucket.Open(ctx, c)
	}, nil
}

const maxPlace = 16 << 10

// place is where backups are: as asked for, else as the server was last told, else in the
// directory.
func (l layout) place(asked Place) (Place, error) {
	if asked.Where != "" {
		return asked, nil
	}
	b, err := secretfile.Read(l.destination(), maxPlace)
	if errors.Is(err, os.ErrNotExist) {
		return Place{Where: l.vault()}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &asked)
	}
	if err != nil {
		return asked, fmt.Errorf("%s: %w: name the place with --backups", l.destination(), err)
	}
	return asked, nil
}

// keep writes down where backups are, for the other commands.
func (l layout) keep(p Place) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return secretfile.Write(l.destination(), append(b, '\n'))
}
