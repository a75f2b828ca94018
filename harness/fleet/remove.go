package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// removeWait bounds what cannot be interrupted: leaving nothing behind.
const removeWait = time.Minute

// Down takes the fleet down: its processes end, what it made goes, machines get their old values
// back. After an error the state stays, for another try or for [Sweep].
func (f *Fleet) Down(ctx context.Context) error {
	if f.lock == nil || f.lock.file == nil {
		l, err := takeLock(lockPath(f.state.Name), "fleet "+f.state.Name)
		if err != nil {
			return err
		}
		f.lock = l
	}
	defer f.lock.release()
	if f.state.Local {
		return f.remove()
	}
	_, err := f.play(ctx, "cluster-down.yml")
	if err = errors.Join(err, f.state.killAll()); err != nil { // SSH keeps connections for a while
		return err
	}
	return f.forget()
}

// remove undoes a local fleet, however far it came. It does so even if the caller's context has
// ended. Of other machines only what lies on this one goes: Down reaches them.
func (f *Fleet) remove() error {
	if f.state == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeWait)
	defer cancel()
	s := f.state
	if !s.Local {
		return errors.Join(s.killAll(), fmt.Errorf("what was begun on other machines stays. "+
			"Next: mend what was wrong and run up again, or lab cluster down --name %s", s.Name))
	}
	if s.Boot == bootID() {
		s.Phase = Going
		errs := []error{s.save(), s.killAll(), f.restoreMachine(ctx), s.star().Remove(ctx)}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("take fleet %s down: %w; its state stays in %s", s.Name, err, statePath(s.Name))
		}
	}
	return f.forget()
}

// restoreMachine gives this machine its old values back, if any were changed.
func (f *Fleet) restoreMachine(ctx context.Context) error {
	if !exists(changesPath(f.state.Name)) {
		return nil
	}
	_, err := f.play(ctx, "cluster-down.yml", "--tags", "machines")
	return errors.Join(err, f.state.killAll())
}

// forget removes what lies on this machine: folders, keys, the state.
func (f *Fleet) forget() error {
	s := f.state
	for _, dir := range s.Made {
		_ = os.Remove(dir) // not empty, or gone: no longer ours
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("take fleet %s down: %w", s.Name, err)
	}
	if filepath.Dir(s.Dir) == dirs {
		_ = os.Remove(dirs) // unless another fleet is in it
	}
	if err := os.Remove(statePath(s.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("take fleet %s down: %w", s.Name, err)
	}
	return nil
}

// Sweep removes local fleets whose process was killed, in whatever phase it was, and returns their
// names. Those of living processes, those that are kept, and those of other machines are left
// alone.
func Sweep() (swept []string, err error) {
	var errs []error
	for _, name := range names() {
		gone, err := sweep(name)
		if gone {
			swept = append(swept, name)
		}
		if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if exists(machineLockPath()) {
		if l, err := machineLock(); err == nil {
			l.release() // with the file that a killed process left
		}
	}
	return swept, errors.Join(errs...)
}

func sweep(name string) (gone bool, err error) {
	l, err := takeLock(lockPath(name), "fleet "+name)
	if err != nil {
		return false, err
	}
	defer l.release()
	s, err := loadState(name)
	if err != nil {
		return false, err
	}
	if !s.Local || s.Keep && s.Phase == Ready && s.Boot == bootID() {
		return false, nil
	}
	f := &Fleet{state: s, lock: l}
	return true, f.remove()
}

// Summary is a fleet as its state tells, without asking it.
type Summary struct {
	Name, Inventory string
	Phase           Phase
	Nodes           []Node
}

// List tells which fleets this machine knows.
func List() (all []Summary, err error) {
	var errs []error
	for _, name := range names() {
		s, err := loadState(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sum := Summary{Name: name, Inventory: s.Inventory, Phase: s.Phase, Nodes: s.Nodes}
		if s.Local {
			sum.Inventory = Local
		}
		all = append(all, sum)
	}
	return all, errors.Join(errs...)
}
