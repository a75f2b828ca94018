package edgeproc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// client speaks to one edge.
type client struct {
	url, user, password string
	http                *http.Client
	transport           *http.Transport
}

func (e *Edge) connect() (*client, error) {
	pem, err := os.ReadFile(e.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("edge: no certificate in %s", e.CA)
	}
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &client{url: e.URL, user: e.User, password: e.Password, transport: t,
		http: &http.Client{Transport: t, Timeout: time.Minute}}, nil
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// call sends a request and decodes the answer, which must be 200, into `into`.
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, send)
	if err != nil {
		return err
	}
	r.SetBasicAuth(c.user, c.password)
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	b, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("edge: %s %s: %d %.300s", method, path, answer.StatusCode, b)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// Put puts one value and returns the revision of that change.
func (e *Edge) Put(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, e.URL+"/v1/kv/"+url.PathEscape(key),
		bytes.NewReader(value))
	if err != nil {
		return 0, err
	}
	r.SetBasicAuth(e.User, e.Password)
	answer, err := e.client.http.Do(r)
	if err != nil {
		return 0, fmt.Errorf("edge: %w", err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode < 200 || answer.StatusCode > 299 {
		return 0, errors.Join(err, fmt.Errorf("edge: put %s: %d", key, answer.StatusCode))
	}
	return strconv.ParseUint(strings.Trim(answer.Header.Get("ETag"), `"`), 10, 64)
}

// Op is a put of a value, or a delete of a key.
type Op struct {
	Delete bool
	Key    string
	Value  []byte
}

// Bounds of a request of Batch.
const (
	batchOps   = 512
	batchBytes = 512 << 10
)

// Batch executes operations in order, in requests of some hundred. A delete of what is not there is none.
func (e *Edge) Batch(ctx context.Context, ops []Op) error {
	type op struct {
		Op    string  `json:"op"`
		Key   string  `json:"key"`
		Value *[]byte `json:"value_base64,omitempty"`
	}
	for len(ops) > 0 {
		var list []op
		for size := 0; len(ops) > 0 && len(list) < batchOps && size < batchBytes; ops = ops[1:] {
			o := op{Op: "put", Key: ops[0].Key, Value: &ops[0].Value}
			if ops[0].Delete {
				o.Op, o.Value = "delete", nil
			}
			list, size = append(list, o), size+len(ops[0].Value)
		}
		var answer struct{ Results []struct{ Status int } }
		batch := map[string]any{"mode": "each", "ops": list}
		err := e.client.call(ctx, http.MethodPost, "/v1/batch", batch, &answer)
		if err != nil {
			return err
		}
		for i, r := range answer.Results {
			if r.Status < 200 || r.Status > 299 {
				return fmt.Errorf("edge: %s %s: %d", list[i].Op, list[i].Key, r.Status)
			}
		}
	}
	return nil
}

// Entry is a key, its value, and the revision of its last change. Deleted is for changes only.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
	Deleted  bool
}

type entryJSON struct {
	Op        string
	Key       string
	KeyBase64 []byte `json:"key_base64"`
	Value     string
	Base64    *[]byte `json:"value_base64"`
	Revision  uint64
}

func (j *entryJSON) entry() Entry {
	e := Entry{Key: j.Key, Value: []byte(j.Value), Revision: j.Revision, Deleted: j.Op == "delete"}
	if j.Base64 != nil {
		e.Value = *j.Base64
	}
	if e.Key == "" {
		e.Key = string(j.KeyBase64)
	}
	return e
}

// List visits every key under a prefix, in order.
func (e *Edge) List(ctx context.Context, prefix string, visit func(Entry)) error {
	q := url.Values{"prefix": {prefix}, "limit": {"1000"}}
	for {
		var page struct {
			Items []entryJSON
			Next  string
		}
		if err := e.client.call(ctx, http.MethodGet, "/v1/kv?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for i := range page.Items {
			visit(page.Items[i].entry())
		}
		if page.Next == "" {
			return nil
		}
		q = url.Values{"cursor": {page.Next}}
	}
}

// Changes visits every change under a prefix from a revision on, in the order in which they were made, up
// to the newest. It fails if the edge has forgotten some.
func (e *Edge) Changes(ctx context.Context, prefix string, from uint64, visit func(Entry)) error {
	q := url.Values{"prefix": {prefix}, "limit": {"1000"}, "wait": {"0"}}
	for {
		q.Set("from", strconv.FormatUint(from, 10))
		var page struct {
			Events         []entryJSON
			Next, Revision uint64
		}
		if err := e.client.call(ctx, http.MethodGet, "/v1/watch?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for i := range page.Events {
			visit(page.Events[i].entry())
		}
		if from = page.Next; page.Next > page.Revision {
			return nil
		}
	}
}

// Metrics are its counters and gauges without labels, by name.
func (e *Edge) Metrics(ctx context.Context) (map[string]float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.AdminURL+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := e.client.http.Do(r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("edge: /metrics: %d", answer.StatusCode))
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(name, "#") {
			all[name] = v
		}
	}
	return all, nil
}
