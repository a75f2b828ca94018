package client

import (
	"context"
	"errors"
)

// Entry is a key with what it holds.
type Entry struct {
	Key      string
	Value    []byte // the caller's own
	Revision uint64 // the index of the write that set it: grows with every write of any key
}

// op is an operation: its command, and what its reply means.
type op[T any] struct {
	cmd    *command
	decode func(*reply) (T, error)
}

// doer executes commands: a [Client], or a [Session].
type doer interface {
	do(ctx context.Context, cmd *command) (reply, error)
}

func run[T any](ctx context.Context, d doer, o op[T]) (T, error) {
	defer o.cmd.free()
	answer, err := d.do(ctx, o.cmd)
	if err != nil {
		var none T
		return none, err
	}
	return o.decode(&answer)
}

func opPut(key string, value []byte) op[struct{}] {
	return op[struct{}]{newCommand("$3\r\nSET\r\n").key(key).value(value), decodeDone}
}

func opGet(key string) op[Entry] {
	cmd := newCommand("$6\r\nMT.GET\r\n").key(key)
	cmd.read = true
	return op[Entry]{cmd, func(r *reply) (Entry, error) {
		if r.null {
			return Entry{}, ErrNotFound
		}
		return decodeEntry(key, r)
	}}
}

func opMGet(keys []string) op[[][]byte] {
	cmd := newCommand("$4\r\nMGET\r\n")
	cmd.read = true
	for _, k := range keys {
		cmd.key(k)
	}
	return op[[][]byte]{cmd, func(r *reply) ([][]byte, error) {
		if err := r.shape('*', len(keys)); err != nil {
			return nil, err
		}
		values := make([][]byte, len(keys))
		for i := range values {
			values[i] = r.list[i].bytes
		}
		return values, nil
	}}
}

func opMSet(pairs []Entry) op[struct{}] {
	cmd := newCommand("$4\r\nMSET\r\n")
	for i := range pairs {
		cmd.key(pairs[i].Key).value(pairs[i].Value)
	}
	return op[struct{}]{cmd, decodeDone}
}

func opDelete(keys []string) op[int64] {
	cmd := newCommand("$3\r\nDEL\r\n")
	for _, k := range keys {
		cmd.key(k)
	}
	return op[int64]{cmd, decodeNumber}
}

func opCAS(key string, revision uint64, value []byte) op[uint64] {
	cmd := newCommand("$6\r\nMT.CAS\r\n").key(key).unsigned(revision).value(value)
	return op[uint64]{cmd, decodeCAS}
}

func opIncr(key string, delta int64) op[int64] {
	return op[int64]{newCommand("$6\r\nINCRBY\r\n").key(key).signed(delta), decodeNumber}
}

func opAppend(key string, value []byte) op[int64] {
	return op[int64]{newCommand("$6\r\nAPPEND\r\n").key(key).value(value), decodeNumber}
}

func opCount() op[int64] {
	cmd := newCommand("$6\r\nDBSIZE\r\n")
	cmd.read = true
	return op[int64]{cmd, decodeNumber}
}

func decodeDone(r *reply) (struct{}, error) { return struct{}{}, r.shape('+', 0) }

func decodeNumber(r *reply) (int64, error) { return r.n, r.shape(':', 0) }

func decodeEntry(key string, r *reply) (Entry, error) {
	if err := r.shape('*', 2); err != nil {
		return Entry{}, err
	}
	return Entry{key, r.list[0].bytes, uint64(r.list[1].n)}, nil
}

func decodeCAS(r *reply) (uint64, error) {
	if err := r.shape('*', 2); err != nil {
		return 0, err
	}
	revision := uint64(r.list[1].n)
	if r.list[0].n != 1 {
		return 0, &Mismatch{Revision: revision}
	}
	return revision, nil
}

var errNoKeys = errors.New("client: no keys given")

// Get returns a key, or [ErrNotFound].
func (c *Client) Get(ctx context.Context, key string) (Entry, error) { return run(ctx, c, opGet(key)) }

// MGet returns the values of keys, all as they are at one place in the order; nil for an absent key.
// At most 4096 keys.
func (c *Client) MGet(ctx context.Context, keys ...string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return run(ctx, c, opMGet(keys))
}

// Count returns how many keys there are.
func (c *Client) Count(ctx context.Context) (int64, error) { return run(ctx, c, opCount()) }

// Writes are the operations that change something: of a [Client], which sends each at most once, and of
// a [Session], which repeats it until it is answered and has it executed at most once.
type Writes struct{ d doer }

// Put sets a key.
func (w Writes) Put(ctx context.Context, key string, value []byte) error {
	_, err := run(ctx, w.d, opPut(key, value))
	return err
}

// MSet sets several keys, all or none, at one place in the order. Revisions given are ignored. At most
// 4096 keys and 1 MiB.
func (w Writes) MSet(ctx context.Context, pairs ...Entry) error {
	if len(pairs) == 0 {
		return errNoKeys
	}
	_, err := run(ctx, w.d, opMSet(pairs))
	return err
}

// Delete removes keys, all at one place in the order, and returns how many existed.
func (w Writes) Delete(ctx context.Context, keys ...string) (int64, error) {
	if len(keys) == 0 {
		return 0, errNoKeys
	}
	return run(ctx, w.d, opDelete(keys))
}

// CAS sets a key if it has the revision given, 0 = if it is absent, and returns its new one. Else the
// error is a [Mismatch] with the revision it has.
func (w Writes) CAS(ctx context.Context, key string, revision uint64, value []byte) (uint64, error) {
	return run(ctx, w.d, opCAS(key, revision, value))
}

// Incr adds to a decimal integer, an absent one counting as 0, and returns the sum.
func (w Writes) Incr(ctx context.Context, key string, delta int64) (int64, error) {
	return run(ctx, w.d, opIncr(key, delta))
}

// Append appends to a value, an absent one counting as empty, and returns its length.
func (w Writes) Append(ctx context.Context, key string, value []byte) (int64, error) {
	return run(ctx, w.d, opAppend(key, value))
}
