package local

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// List implements [edge.Store]. A listing of more than one page holds on to a snapshot, for CursorLife.
func (s *Store) List(ctx context.Context, l edge.Listing) (*edge.Page, error) {
	if err := s.fresh(ctx, l.Read); err != nil {
		return nil, err
	}
	page, err := s.list(l)
	if err != nil {
		return nil, s.hurt(err)
	}
	return page, s.settled(ctx, page.Revision)
}

func (s *Store) list(l edge.Listing) (*edge.Page, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if l.Cursor != "" {
		return s.nextPage(l)
	}
	cur := &cursor{snapshot: s.db.NewSnapshot(), listing: l, made: s.cfg.Now()}
	page, behind, err := s.firstPage(cur)
	if err != nil || behind == nil {
		cur.close()
		return page, err
	}
	page.Next = s.cursors.add(cur, s.cfg.Cursors).token(behind)
	return page, nil
}

func (s *Store) firstPage(cur *cursor) (*edge.Page, []byte, error) {
	var totals state
	b, err := get(cur.snapshot, stateKey)
	if err == nil {
		err = totals.decode(b)
	}
	if err != nil {
		return nil, nil, err
	}
	cur.revision = totals.revision
	return cur.page(cur.listing.StartAfter)
}

func (s *Store) nextPage(l edge.Listing) (*edge.Page, error) {
	id, after, ok := parseToken(l.Cursor)
	cur := s.cursors.get(id, l.Client)
	if !ok || cur == nil || s.cfg.Now().Sub(cur.made) > s.cfg.CursorLife {
		return nil, edge.ErrExpired
	}
	cur.mu.Lock()
	defer cur.mu.Unlock()
	if cur.snapshot == nil {
		return nil, edge.ErrExpired
	}
	page, behind, err := cur.page(after)
	if err == nil && behind != nil {
		page.Next = id.token(behind)
	}
	return page, err
}

// page reads what lies behind a key. It returns where the next page begins, or nil.
func (c *cursor) page(start []byte) (page *edge.Page, behind []byte, err error) {
	l := &c.listing
	it, err := c.snapshot.NewIter(bounds(l.Prefix))
	if err != nil {
		return nil, nil, damage(err)
	}
	defer func() { err = errors.Join(err, damage(it.Close())) }()
	page = &edge.Page{Revision: c.revision, Listing: *l}
	for ok, size := begin(it, l, start), 0; ok; {
		if len(page.Items)+len(page.Prefixes) >= l.Limit || size > edge.MaxPageBytes {
			return page, behind, nil
		}
		key := it.Key()[1:]
		if rolled := roll(l, key); rolled != nil {
			behind = clone(rolled)
			page.Prefixes = append(page.Prefixes, behind)
			ok = skip(it, behind)
			continue
		}
		entry, n, err := parse(key, it.Value(), l.KeysOnly)
		if err != nil {
			return nil, nil, err
		}
		behind = entry.Key
		page.Items, page.Sizes = append(page.Items, entry), append(page.Sizes, n)
		if size += len(key); !l.KeysOnly {
			size += n
		}
		ok = it.Next()
	}
	return page, nil, nil
}

// begin goes to the first key behind start, or behind all that is rolled up to it.
func begin(it *pebble.Iterator, l *edge.Listing, start []byte) bool {
	switch {
	case len(start) == 0:
		return it.First()
	case bytes.Equal(roll(l, start), start):
		return skip(it, start)
	}
	return it.SeekGE(append(appendDataKey(nil, start), 0))
}

// skip goes behind all keys with a prefix.
func skip(it *pebble.Iterator, prefix []byte) bool {
	next := after(appendDataKey(nil, prefix))
	return next != nil && it.SeekGE(next)
}

// roll is what a key is rolled up to, nil if it stands for itself.
func roll(l *edge.Listing, key []byte) []byte {
	if len(l.Delimiter) == 0 || !bytes.HasPrefix(key, l.Prefix) {
		return nil
	}
	at := bytes.Index(key[len(l.Prefix):], l.Delimiter)
	if at < 0 {
		return nil
	}
	return key[:len(l.Prefix)+at+len(l.Delimiter)]
}

func bounds(prefix []byte) *pebble.IterOptions {
	low := appendDataKey(nil, prefix)
	return &pebble.IterOptions{LowerBound: low, UpperBound: after(low)}
}
