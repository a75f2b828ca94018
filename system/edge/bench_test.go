package edge_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/edge"
	"metronome/system/edge/local"
)

// certificate makes a server's certificate for the loopback, and what clients trust it by.
func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion: tls.VersionTLS12}, pool
}

// secure is an edge over HTTPS with fsync, and a client of so many connections.
func secure(b testing.TB, connections int) (url string, client *http.Client) {
	store, err := local.Open(local.Config{Dir: b.TempDir(), Log: quiet, MinFree: 1})
	if err != nil {
		b.Fatal(err)
	}
	s, err := edge.New(edge.Config{Name: "hall", Store: store, Access: edge.Everybody("bench"), Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	config, pool := certificate(b)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l, config) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: connections}
	b.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			b.Error(err)
		}
		if err := <-ended; err != nil {
			b.Error(err)
		}
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return "https://" + l.Addr().String(), &http.Client{Transport: transport}
}

func discard(b testing.TB, resp *http.Response, err error, status ...int) {
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	for _, s := range status {
		if resp.StatusCode == s {
			return
		}
	}
	b.Errorf("status %d", resp.StatusCode)
}

// workers runs do in so many goroutines, b.N times in all.
func workers(b *testing.B, n int, do func(worker int, turn int64)) {
	var turn atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for worker := range n {
		all.Go(func() {
			for {
				t := turn.Add(1)
				if t > int64(b.N) {
					return
				}
				do(worker, t)
			}
		})
	}
	all.Wait()
}

// BenchmarkBatch256 sends batches of sessions: 16-byte keys, 64-byte values, fsync and HTTPS.
func BenchmarkBatch256(b *testing.B) {
	for _, connections := range []int{1, 4} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			url, client := secure(b, connections)
			value := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 64))
			mark := make([]uint64, connections)
			bodies := make([]bytes.Buffer, connections)
			workers(b, connections, func(w int, turn int64) {
				body := &bodies[w]
				body.Reset()
				fmt.Fprintf(body, `{"session":"s%d","epoch":1,"prev":%d,"mode":"atomic","ops":[`, w, mark[w])
				for i := range 256 {
					if i > 0 {
						body.WriteByte(',')
					}
					mark[w]++
					fmt.Fprintf(body, `{"seq":%d,"op":"put","key":"bench/%010d","value_base64":"%s"}`, mark[w],
						(turn*256+int64(i))%100_000, value)
				}
				body.WriteString("]}")
				r, _ := http.NewRequest("POST", url+"/v1/batch", bytes.NewReader(body.Bytes()))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Idempotency-Key", fmt.Sprintf("s%d-%d", w, mark[w]))
				resp, err := client.Do(r)
				discard(b, resp, err, 200)
			})
			b.ReportMetric(float64(b.N)*256/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

// BenchmarkSinglePut sends single PUTs over 64 connections, which share commits.
func BenchmarkSinglePut(b *testing.B) {
	url, client := secure(b, 64)
	value := bytes.Repeat([]byte{7}, 64)
	workers(b, 64, func(_ int, turn int64) {
		r, _ := http.NewRequest("PUT", fmt.Sprintf("%s/v1/kv/bench/%010d", url, turn%100_000),
			bytes.NewReader(value))
		resp, err := client.Do(r)
		discard(b, resp, err, 201, 204)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
