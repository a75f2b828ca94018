package device

import (
	"errors"
	"testing"

	"metronome/system/disk"
)

// TestAStoreTakesTheFirstNameItIsOpenedUnder: it may be filled before anybody says whose it is, and
// belongs to nobody else afterwards.
func TestAStoreTakesTheFirstNameItIsOpenedUnder(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []struct {
		client string
		want   error
	}{{"", nil}, {"lamp", nil}, {"", nil}, {"lamp", nil}, {"door", ErrConfig}} {
		d, err := Open(Config{FS: disk.OS(), Dir: dir, Client: step.client})
		if !errors.Is(err, step.want) {
			t.Fatalf("opened as %q: %v, want %v", step.client, err, step.want)
		}
		if err == nil {
			if _, err := d.Put(t.Context(), "k", []byte("v")); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
