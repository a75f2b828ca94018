package bucket

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what S3 checks
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server speaks as much of S3 as a bucket needs, and checks what S3 checks: signatures and sums.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string][]byte
	page    int                                                      // keys of one list
	before  func(w http.ResponseWriter, r *http.Request) (done bool) // nil: nothing
	calls   map[string]int                                           // by method
}

const (
	testBucket = "backups"
	testKey    = "a-key"
	testSecret = "a secret"
	testRegion = "eu-north-1"
)

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{objects: map[string][]byte{}, page: 3, calls: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[r.Method]++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if err := signed(r, body); err != nil {
		refuse(w, http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
		return
	}
	if s.before != nil && s.before(w, r) {
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case bucket != testBucket:
		refuse(w, http.StatusNotFound, "NoSuchBucket", "no such bucket")
	case key == "" && r.Method == http.MethodHead:
	case key == "" && r.Method == http.MethodGet:
		s.list(w, r)
	default:
		s.object(w, r, key, body)
	}
}

// signed checks a request's signature of version 4, as Amazon's documentation computes it.
func signed(r *http.Request, body []byte) error {
	var credential, headers, signature string
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	for part := range strings.SplitSeq(auth, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			headers = value
		case "Signature":
			signature = value
		}
	}
	date, sum := r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Content-Sha256")
	if sum != fmt.Sprintf("%x", sha256.Sum256(body)) || !ok || len(date) < 8 {
		return errors.New("not signed, or another content than was signed")
	}
	var c strings.Builder
	fmt.Fprintf(&c, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), strings.ReplaceAll(r.URL.Query().Encode(),
		"+", "%20"))
	for h := range strings.SplitSeq(headers, ";") {
		value := r.Header.Get(h)
		if h == "host" {
			value = r.Host
		}
		fmt.Fprintf(&c, "%s:%s\n", h, strings.TrimSpace(value))
	}
	fmt.Fprintf(&c, "\n%s\n%s", headers, sum)
	scope := date[:8] + "/" + testRegion + "/s3/aws4_request"
	toSign := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", date, scope, sha256.Sum256([]byte(c.String())))
	key := []byte("AWS4" + testSecret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	if credential != testKey+"/"+scope || signature != hex.EncodeToString(mac(key, toSign)) {
		return errors.New("the signature does not match")
	}
	return nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: code, Message: message})
}

type listed struct {
	Key          string
	Size         int
	LastModified time.Time
	ETag         string
}

type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listed
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var keys []string
	for k := range s.objects {
		if strings.HasPrefix(k, q.Get("prefix")) && k > q.Get("continuation-token") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var l listing
	if l.IsTruncated = len(keys) > s.page; l.IsTruncated {
		keys = keys[:s.page]
		l.NextContinuationToken = keys[len(keys)-1]
	}
	for _, k := range keys {
		l.Contents = append(l.Contents, listed{Key: k, Size: len(s.objects[k]), ETag: etag(s.objects[k])})
	}
	_ = xml.NewEncoder(w).Encode(l)
}

func etag(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) } //nolint:gosec // as S3 does

func (s *server) object(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	switch b, there := s.objects[key]; r.Method {
	case http.MethodPut:
		sum := md5.Sum(body) //nolint:gosec // as S3 does
		if r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) {
			refuse(w, http.StatusBadRequest, "BadDigest", "another content than its sum")
			return
		}
		s.objects[key] = body
		w.Header().Set("ETag", etag(body))
	case http.MethodGet:
		if !there {
			refuse(w, http.StatusNotFound, "NoSuchKey", "no such key")
			return
		}
		w.Header().Set("ETag", etag(b))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
	case http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}
