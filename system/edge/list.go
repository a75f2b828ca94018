package edge

import (
	"net/url"
	"strconv"
)

// Bounds of a listing's parameters.
const (
	defaultPage  = 100
	maxDelimiter = 16
	maxCursor    = 2 << 10
)

func (s *Server) list(c *call) error {
	q := parseQuery(c, "prefix", "start_after", "limit", "keys_only", "delimiter", "encoding", "cursor",
		"consistency")
	l := Listing{
		Prefix: []byte(q.text("prefix", MaxKey)), StartAfter: []byte(q.text("start_after", MaxKey)),
		Delimiter: []byte(q.text("delimiter", maxDelimiter)),
		Limit:     int(q.number("limit", 1, MaxPage, defaultPage)), KeysOnly: q.flag("keys_only"),
		Client: c.who.Name, Cursor: q.text("cursor", maxCursor), Read: q.read(c),
	}
	encoding := q.values.Get("encoding")
	if encoding != "" && encoding != "utf8" && encoding != "base64" {
		q.refuse("encoding is utf8 or base64.")
	}
	for name := range q.values {
		if l.Cursor != "" && name != "cursor" && name != "encoding" {
			q.refuse("A cursor knows what it lists: leave " + name + " away.")
		}
	}
	if err := q.err(); err != nil {
		return err
	}
	if l.Cursor == "" {
		if err := c.who.require(VerbList, l.Prefix); err != nil {
			return err
		}
	}
	ctx, cancel := s.patience(c, l.Read)
	defer cancel()
	page, err := s.cfg.Store.List(ctx, l)
	if err != nil {
		return late(c, err)
	}
	if err := c.who.require(VerbList, page.Listing.Prefix); err != nil { // they may have changed since
		return err
	}
	s.head(c, 0)
	if page.Next != "" {
		next := url.Values{"cursor": {page.Next}}
		if encoding != "" {
			next.Set("encoding", encoding)
		}
		c.w.Header().Set("Link", "</v1/kv?"+next.Encode()+`>; rel="next"`)
	}
	return c.json(appendPage(nil, page, encoding == "utf8"))
}

func appendPage(b []byte, page *Page, text bool) []byte {
	b = append(b, `{"revision":`...)
	b = strconv.AppendUint(b, page.Revision, 10)
	b = append(b, `,"items":[`...)
	for i := range page.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendEntry(b, &page.Items[i], page.Sizes[i])
		if !page.Listing.KeysOnly {
			b = append(b, ',')
			b = appendText(b, "value", page.Items[i].Value, text)
		}
		b = append(b, '}')
	}
	b = append(b, `],"prefixes":[`...)
	for i, prefix := range page.Prefixes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(append(b, '{'), "prefix", prefix, true), '}')
	}
	b = append(b, ']')
	if page.Next != "" {
		b = append(b, `,"next":"`...)
		b = append(append(b, page.Next...), '"')
	}
	return append(b, "}\n"...)
}

func appendEntry(b []byte, e *Entry, size int) []byte {
	b = appendText(b, "key", e.Key, true)
	b = append(b, `,"revision":`...)
	b = strconv.AppendUint(b, e.Revision, 10)
	b = append(b, `,"etag":"\"`...)
	b = strconv.AppendUint(b, e.Revision, 10)
	b = append(b, `\"","size":`...)
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, `,"content_type":`...)
	return appendJSON(b, orOctets(e.Type))
}
