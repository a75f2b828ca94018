package ship

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"metronome/system/backup"
	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// remote is an edge's own backups as its master shows them: a destination that can be read.
type remote struct {
	client api.Client
	edge   string
}

var errReadOnly = errors.New("ship: an edge reads its backups here, and changes nothing")

// String implements [backup.Destination].
func (d *remote) String() string { return d.client.URL + api.EdgePath(d.edge) }

// Put implements [backup.Destination].
func (d *remote) Put(context.Context, string, []byte) error { return errReadOnly }

// Remove implements [backup.Destination].
func (d *remote) Remove(context.Context, string) error { return errReadOnly }

// Get implements [backup.Destination].
func (d *remote) Get(ctx context.Context, name string, limit int) ([]byte, error) {
	folder, object, _ := strings.Cut(name, "/")
	var out api.Raw
	if err := d.call(ctx, &out, folder, object); err != nil {
		return nil, err
	}
	if len(out) > limit {
		return nil, fmt.Errorf("ship: %s has %d bytes, at most %d are right: %w", name, len(out), limit,
			backup.ErrDamaged)
	}
	return out, nil
}

// List implements [backup.Destination].
func (d *remote) List(ctx context.Context, folder string) ([]backup.Object, error) {
	var out []api.Object
	if err := d.call(ctx, &out, folder); err != nil {
		return nil, err
	}
	all := make([]backup.Object, 0, len(out))
	for _, o := range out {
		all = append(all, backup.Object{Name: o.Name, Size: o.Size})
	}
	return all, nil
}

// readTries is how often a read is tried that failed on the way.
const readTries = 4

func (d *remote) call(ctx context.Context, out any, parts ...string) (err error) {
	for range readTries {
		err = d.client.Call(ctx, http.MethodGet, api.EdgePath(d.edge, append([]string{"objects"}, parts...)...),
			nil, out)
		var p *api.Problem
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case errors.As(err, &p) && p.Code() == "not-found":
			return fmt.Errorf("%w: %w", backup.ErrNotFound, err)
		case errors.As(err, &p) && !p.Retryable:
			return err
		}
	}
	return err
}

// Restore restores an edge from its master, at the edge. What r.Epoch would give comes from the
// master.
func Restore(ctx context.Context, m *Membership, c *http.Client, r vault.Restoration) (*vault.Restored,
	error) {
	key, err := m.Key()
	if err != nil {
		return nil, err
	}
	client := api.Client{URL: m.Master, HTTP: c}
	v, err := vault.Open(ctx, &remote{client, m.Edge}, key, vault.Options{})
	if err != nil {
		return nil, err
	}
	r.Epoch = func(ctx context.Context, above uint16) (uint16, error) {
		var out api.Epoch
		err := client.Call(ctx, http.MethodPost, api.EdgePath(m.Edge, "restores"), api.Above{Above: above}, &out)
		return out.Epoch, err
	}
	return v.Restore(ctx, r)
}
