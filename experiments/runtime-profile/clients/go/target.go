package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// operation is a key and where in the pool its value lies.
type operation struct {
	key      string
	from, to int
}

// load reads a workload file.
func load(path string) (operations []operation, pool []byte, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	var count, size int
	if _, err := fmt.Sscanf(string(line), "metronome-workload 1 %d %d", &count, &size); err != nil {
		return nil, nil, fmt.Errorf("%s: no workload file of version 1: %w", path, err)
	}
	operations = make([]operation, count)
	for i := range operations {
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if operations[i], err = parse(string(line), size); err != nil {
			return nil, nil, fmt.Errorf("%s: operation %d: %w", path, i, err)
		}
	}
	if len(rest) != size {
		return nil, nil, fmt.Errorf("%s: %d bytes of values, not %d", path, len(rest), size)
	}
	return operations, rest, nil
}

func parse(line string, pool int) (o operation, err error) {
	key, rest, _ := strings.Cut(line, " ")
	offset, length, _ := strings.Cut(rest, " ")
	o.key = key
	if o.from, err = strconv.Atoi(offset); err != nil {
		return o, err
	}
	n, err := strconv.Atoi(length)
	if o.to = o.from + n; err == nil && (o.from < 0 || n < 0 || o.to > pool) {
		err = fmt.Errorf("bytes %d to %d of %d", o.from, o.to, pool)
	}
	return o, err
}

// store is the language's own hash table.
type store map[string][]byte

func (s store) write(key string, value []byte) error {
	s[key] = bytes.Clone(value)
	return nil
}

func (s store) read(key string) ([]byte, error) {
	v, ok := s[key]
	if !ok {
		return nil, fmt.Errorf("read %s: it is not there", key)
	}
	return v, nil
}

func (s store) delete(key string) error {
	if _, ok := s[key]; !ok {
		return fmt.Errorf("delete %s: it is not there", key)
	}
	delete(s, key)
	return nil
}

// edge is a key-value store behind HTTPS, over one connection that is kept.
type edge struct {
	url, authorization string
	client             *http.Client
}

func connect(url, ca, secret string) (*edge, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	credentials, err := os.ReadFile(secret)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	return &edge{
		url:           url,
		authorization: "Basic " + base64.StdEncoding.EncodeToString(bytes.TrimSpace(credentials)),
		client: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
	}, nil
}

// do sends a request and reads the answer whole; at least one of two statuses is right.
func (e *edge) do(method, key string, value []byte, right, too int) ([]byte, error) {
	var body io.Reader
	if value != nil {
		body = bytes.NewReader(value)
	}
	r, err := http.NewRequest(method, e.url+"/v1/kv/"+key, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", e.authorization)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("User-Agent", "metronome-profile")
	if value != nil {
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	answer, err := e.client.Do(r)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err == nil && answer.StatusCode != right && answer.StatusCode != too {
		err = fmt.Errorf("%s %s: %d %.200s", method, key, answer.StatusCode, content)
	}
	return content, err
}

func (e *edge) write(key string, value []byte) error {
	_, err := e.do(http.MethodPut, key, value, http.StatusCreated, http.StatusNoContent)
	return err
}

func (e *edge) read(key string) ([]byte, error) {
	return e.do(http.MethodGet, key, nil, http.StatusOK, http.StatusOK)
}

func (e *edge) delete(key string) error {
	_, err := e.do(http.MethodDelete, key, nil, http.StatusNoContent, http.StatusNoContent)
	return err
}
