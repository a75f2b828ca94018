package client

import (
	"context"
	"fmt"
)

// Change is one operation of [Writes.Apply].
type Change struct {
	Kind  ChangeKind
	Key   string
	Value []byte // of a Put
}

// ChangeKind is what a [Change] does.
type ChangeKind uint8

// Kinds of changes.
const (
	Put ChangeKind = iota
	Delete
	Get // changes nothing: reads the key at the same place in the order
)

// Changed is what became of a [Change].
type Changed struct {
	Existed  bool   // Put, Delete: the key was there before
	Revision uint64 // of the key afterwards; 0 = it is absent
	Value    []byte // Get: what the key held; nil if it was absent, or too long for one answer with the others
}

func opApply(changes []Change) op[[]Changed] {
	cmd := newCommand("$8\r\nMT.MULTI\r\n")
	for i := range changes {
		switch c := &changes[i]; c.Kind {
		case Put:
			cmd.key("SET").key(c.Key).value(c.Value)
		case Delete:
			cmd.key("DEL").key(c.Key)
		default:
			cmd.key("GET").key(c.Key)
		}
	}
	return op[[]Changed]{cmd, func(r *reply) ([]Changed, error) { return decodeApply(r, changes) }}
}

func decodeApply(r *reply, changes []Change) ([]Changed, error) {
	if err := r.shape('*', 0); err != nil {
		return nil, err
	}
	if len(r.list) != len(changes) {
		return nil, fmt.Errorf("%w: the number was used for %d other changes", ErrResultGone, len(r.list))
	}
	out := make([]Changed, len(changes))
	for i := range out {
		one := &r.list[i]
		if err := one.shape('*', 3); err != nil {
			return nil, fmt.Errorf("change %d: %w", i, err)
		}
		out[i] = Changed{Existed: one.list[0].n == 1, Revision: uint64(one.list[1].n)}
		if changes[i].Kind == Get && !one.list[2].null {
			out[i].Value = one.list[2].bytes
		}
	}
	return out, nil
}

// Apply makes several changes at one place in the order: all or none, and nobody sees some without the
// others. At most 2700 changes and 1 MiB together with their keys. A session that was resumed with a
// number used by another Apply gets the answer to that one: [ErrResultGone] if it had another number of
// changes; else put a name among the changes and Get it, to see whose it was.
func (w Writes) Apply(ctx context.Context, changes ...Change) ([]Changed, error) {
	if len(changes) == 0 {
		return nil, errNoKeys
	}
	return run(ctx, w.d, opApply(changes))
}
