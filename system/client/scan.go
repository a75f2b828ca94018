package client

import (
	"context"
	"iter"
)

// Range says which keys [Client.Scan] walks.
type Range struct {
	Prefix string
	After  string // the first key is the one behind this; "" = from the beginning
	Page   int    // keys asked for at once, 1 to 4096; default 1000
	Keys   bool   // without values
}

// Scan walks keys in bytewise order. Each page is as of one place in the order; from page to page keys may
// change. After an error the walk ends; go on with Range.After = the last key seen.
func (c *Client) Scan(ctx context.Context, r Range) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			page, next, err := c.page(ctx, &r)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			r.After = next
		}
	}
}

const defaultPage = 1000

// Page returns one page of a range, all of it as of one place in the order, and the cursor that goes into
// Range.After for the next; "" = there is none.
func (c *Client) Page(ctx context.Context, r Range) (page []Entry, next string, err error) {
	return c.page(ctx, &r)
}

func (c *Client) page(ctx context.Context, r *Range) (page []Entry, next string, err error) {
	limit := r.Page
	if limit <= 0 {
		limit = defaultPage
	}
	cmd := newCommand("$7\r\nMT.SCAN\r\n").key(r.Prefix).key("LIMIT").signed(int64(limit))
	cmd.read = true
	if r.After != "" {
		cmd.key("AFTER").key(r.After)
	}
	if !r.Keys {
		cmd.key("VALUES")
	}
	answer, err := run(ctx, c, op[reply]{cmd, func(r *reply) (reply, error) { return *r, r.shape('*', 2) }})
	if err != nil {
		return nil, "", err
	}
	for i := range answer.list[1].list {
		one := &answer.list[1].list[i]
		if err := one.shape('*', 2); err != nil {
			return nil, "", err
		}
		e := Entry{Key: string(one.list[0].bytes), Revision: uint64(one.list[1].n)}
		if len(one.list) > 2 {
			e.Value = one.list[2].bytes
		}
		page = append(page, e)
	}
	return page, string(answer.list[0].bytes), nil
}
