package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Client calls a master.
type Client struct {
	URL  string // https://host:port
	HTTP *http.Client
	// Header is added to each request.
	Header http.Header
}

// Raw is a body that is sent, or wanted, as it is.
type Raw []byte

// Call sends in and reads the reply into out. Both are JSON, or [Raw], or nil. The error is a
// *[Problem] if the master said no.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	body, mediaType, err := encode(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("master: %w", err)
	}
	for name, values := range c.Header {
		r.Header[name] = values
	}
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("master: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return decode(resp, out)
}

func encode(in any) (body []byte, mediaType string, err error) {
	switch in := in.(type) {
	case nil:
		return nil, "", nil
	case Raw:
		return in, "application/octet-stream", nil
	}
	body, err = json.Marshal(in)
	return body, "application/json", err
}

// maxReply bounds what is read of a reply: a manifest is the largest.
const maxReply = 80 << 20

func decode(resp *http.Response, out any) error {
	b, err := readAll(resp)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return problemOf(resp, b)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *Raw:
		*out = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("master: the reply is not understood: %w", err)
	}
	return nil
}

// readAll reads a body, at once as much as it says that there is.
func readAll(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > maxReply {
		return nil, errors.New("master: the reply is too long")
	}
	b := bytes.NewBuffer(make([]byte, 0, max(resp.ContentLength, 0)+bytes.MinRead))
	n, err := b.ReadFrom(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, fmt.Errorf("master: read the reply: %w", err)
	}
	if n > maxReply {
		return nil, errors.New("master: the reply is too long")
	}
	return b.Bytes(), nil
}

// problemOf reads a problem. Anything else comes from something that is no master: a proxy, a login
// page.
func problemOf(resp *http.Response, b []byte) error {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	p := &Problem{}
	if mediaType != ProblemType || json.Unmarshal(b, p) != nil || !strings.HasPrefix(p.Type, URN) {
		return fmt.Errorf("master: %s answered %s, which no master does: check the address", resp.Request.URL.Host,
			resp.Status)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s < 3600 {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return p
}
