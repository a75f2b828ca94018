package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"metronome/internal/require"
	"metronome/system/backup"
	"metronome/system/backup/backuptest"
	"metronome/system/disk/fault"
	"metronome/system/replica"
	"metronome/system/store"
)

// environment leaves nothing of the surroundings' own.
func environment(t *testing.T, key, secret string) {
	t.Helper()
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN",
		"AWS_ACCESS_KEY", "AWS_SECRET_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "")
	t.Setenv("AWS_REGION", testRegion)
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
}

func open(t *testing.T, s *server, place string) *Bucket {
	t.Helper()
	environment(t, testKey, testSecret)
	c, err := Parse(place)
	if err != nil {
		t.Fatal(err)
	}
	c.Endpoint = s.URL
	b, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	for place, want := range map[string]Config{
		"s3://backups":         {Bucket: "backups"},
		"s3://backups/":        {Bucket: "backups"},
		"s3://backups/a/b.c/":  {Bucket: "backups", Prefix: "a/b.c"},
		"s3://my.bucket-1/x y": {Bucket: "my.bucket-1", Prefix: "x y"},
	} {
		if got, err := Parse(place); err != nil || got != want || !IsURL(place) {
			t.Errorf("%s: %+v, %v", place, got, err)
		}
	}
	for _, bad := range []string{"", "backups", "s3://", "s3://B", "s3://ab", "s3://backups/a//b",
		"s3://backups/../x",
		"s3://key:secret@backups/x", "/s3://backups"} {
		if c, err := Parse(bad); err == nil {
			t.Errorf("%q: %+v", bad, c)
		}
	}
}

func TestEndpoints(t *testing.T) {
	environment(t, "", "")
	for endpoint, want := range map[string]string{"": "s3.amazonaws.com true",
		"http://localhost:9000": "localhost:9000 false",
		"https://s3.example/":   "s3.example true"} {
		c := Config{Endpoint: endpoint}
		host, secure, err := c.endpoint()
		if got := fmt.Sprint(host, " ", secure); err != nil || got != want {
			t.Errorf("%q: %s, %v", endpoint, got, err)
		}
	}
	for _, bad := range []string{"localhost:9000", "ftp://x", "https://key:secret@x", "https://x/bucket",
		"https://"} {
		if _, _, err := (&Config{Endpoint: bad}).endpoint(); err == nil {
			t.Errorf("%q is taken for an endpoint", bad)
		}
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://general")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://special")
	if host, _, err := (&Config{}).endpoint(); err != nil || host != "special" {
		t.Error(host, err)
	}
}

func TestWhereKeysComeFrom(t *testing.T) {
	environment(t, "", "")
	keys := func(c Config) string {
		k, err := c.credentials()
		if err != nil {
			return err.Error()
		}
		v, err := k.GetWithContext(nil)
		return fmt.Sprint(v.AccessKeyID, " ", v.SecretAccessKey, err)
	}
	if got := keys(Config{}); !strings.Contains(got, "AWS_ACCESS_KEY_ID") {
		t.Errorf("none: %s", got)
	}
	file := filepath.Join(t.TempDir(), "keys")
	write := func(mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = k1\naws_secret_access_key = s1\n"+
			"[other]\naws_access_key_id = k2\naws_secret_access_key = s2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(0o644)
	if got := keys(Config{Credentials: file}); !strings.Contains(got, "chmod 600") {
		t.Errorf("open to all: %s", got)
	}
	write(0o600)
	t.Setenv("AWS_ACCESS_KEY_ID", "k3")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3")
	if got := keys(Config{Credentials: file}); got != "k1 s1<nil>" {
		t.Errorf("of a file: %s", got)
	}
	if got := keys(Config{}); got != "k3 s3<nil>" {
		t.Errorf("of the environment: %s", got)
	}
	t.Setenv("AWS_PROFILE", "other")
	if got := keys(Config{Credentials: file}); got != "k2 s2<nil>" {
		t.Errorf("of a profile: %s", got)
	}
	if got := keys(Config{Credentials: file + "x"}); !strings.Contains(got, "no such file") {
		t.Errorf("of no file: %s", got)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	s := newServer(t)
	environment(t, testKey, "another secret")
	try := func(bucket string) string {
		_, err := Open(t.Context(), Config{Bucket: bucket, Endpoint: s.URL})
		return fmt.Sprint(err)
	}
	if got := try(testBucket); got == "<nil>" {
		t.Error("the server does not check signatures")
	}
	environment(t, testKey, testSecret)
	if got := try("another"); !strings.Contains(got, "no such bucket") {
		t.Error(got)
	}
	if got := try(testBucket); got != "<nil>" {
		t.Error(got)
	}
}

// objects are what every destination does.
func objects(t *testing.T, d backup.Destination) {
	t.Helper()
	ctx := t.Context()
	var names []string
	for i := range 10 {
		name := fmt.Sprintf("%02d-%s.x", i, strings.Repeat("f", 60))
		names = append(names, name)
		if err := d.Put(ctx, "chunks/"+name, bytes.Repeat([]byte{byte(i)}, 1000*i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Put(ctx, "backups/one.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	list, err := d.List(ctx, "chunks")
	if err != nil || len(list) != len(names) {
		t.Fatalf("%d objects, %v", len(list), err)
	}
	for i, o := range list {
		if o.Name != names[i] || o.Size != int64(1000*i) {
			t.Errorf("%d: %+v", i, o)
		}
		b, err := d.Get(ctx, "chunks/"+o.Name, 1000*i)
		if err != nil || !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, 1000*i)) {
			t.Errorf("%s: %d bytes, %v", o.Name, len(b), err)
		}
		if _, err := d.Get(ctx, "chunks/"+o.Name, 1000*i-1); i > 0 && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s, less allowed: %v", o.Name, err)
		}
	}
	for range 2 {
		if err := d.Remove(ctx, "chunks/"+names[3]); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Get(ctx, "chunks/"+names[3], 1<<20); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
	if list, err = d.List(ctx, "chunks"); err != nil || len(list) != 9 {
		t.Errorf("%d objects, %v", len(list), err)
	}
	if list, err = d.List(ctx, "doomed"); err != nil || len(list) != 0 {
		t.Errorf("%d objects, %v", len(list), err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := d.Put(canceled, "chunks/x", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestABucketIsADestination(t *testing.T) {
	for _, place := range []string{"s3://" + testBucket, "s3://" + testBucket + "/some/where with a space"} {
		t.Run(place, func(t *testing.T) {
			b := open(t, newServer(t), place)
			if b.String() != place {
				t.Errorf("%v", b)
			}
			objects(t, b)
		})
	}
}

func TestADirectoryIsADestination(t *testing.T) {
	d, err := backup.NewDirectory(fault.New(1), "here")
	if err != nil {
		t.Fatal(err)
	}
	objects(t, d)
}

// TestWhatPassesIsToldFromWhatDoesNot: what is tried again, and what is not.
func TestWhatPassesIsToldFromWhatDoesNot(t *testing.T) {
	s := newServer(t)
	b := open(t, s, "s3://"+testBucket)
	for _, c := range []struct {
		status    int
		code      string
		temporary bool
	}{
		{http.StatusServiceUnavailable, "SlowDown", true}, {http.StatusInternalServerError, "InternalError", true},
		{http.StatusTooManyRequests, "TooManyRequests", true}, {http.StatusBadRequest, "RequestTimeout", true},
		{http.StatusBadRequest, "BadDigest", true}, {http.StatusForbidden, "AccessDenied", false},
		{http.StatusInsufficientStorage, "XQuota", true}, {http.StatusNotFound, "NoSuchBucket", false},
	} {
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			refuse(w, c.status, c.code, "no")
			return true
		}
		s.calls = map[string]int{}
		for what, err := range map[string]error{"put": b.Put(t.Context(), "chunks/a", []byte("x")), "get": get(t,
			b)} {
			var temporary *backup.Temporary
			if err == nil || errors.As(err, &temporary) != c.temporary {
				t.Errorf("%s, %d %s: %v, temporary %v", what, c.status, c.code, err, !c.temporary)
			}
		}
		if s.calls[http.MethodPut] != 1 || s.calls[http.MethodGet] != 1 {
			t.Errorf("%s: %v calls: it is the archive that tries again", c.code, s.calls)
		}
	}
	s.before = nil
	s.CloseClientConnections()
	s.Close()
	var temporary *backup.Temporary
	if err := b.Put(t.Context(), "chunks/a", []byte("x")); !errors.As(err, &temporary) {
		t.Errorf("nobody there: %v", err)
	}
}

func get(t *testing.T, b *Bucket) error {
	t.Helper()
	_, err := b.Get(t.Context(), "chunks/a", 10)
	return err
}

// snapshot is one of several chunks.
func snapshot(t *testing.T, seed byte) []byte {
	t.Helper()
	st, err := store.New(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i := range 2000 {
		keys = append(keys, fmt.Sprint("key-", i))
	}
	backuptest.Fill(t, st, keys, func(k string) []byte {
		b := make([]byte, 2000)
		x := uint32(seed) + 1
		for i := range b {
			x = x*1664525 + uint32(k[len(k)-1]) + uint32(i)
			b[i] = byte(x >> 24)
		}
		return append(b, k...)
	})
	return backuptest.File(t, backuptest.Head(t), st)
}

// archive makes, lists, verifies, restores and prunes backups at a destination.
func archive(t *testing.T, d backup.Destination) {
	t.Helper()
	now := time.Date(2026, 8, 20, 16, 0, 0, 0, time.UTC)
	a := backup.New(d, backup.Options{Now: func() time.Time { return now }, Backoff: time.Millisecond})
	file := snapshot(t, 1)
	var last *backup.Manifest
	for _, content := range [][]byte{snapshot(t, 2), file, file} {
		now = now.Add(time.Hour)
		m, err := a.Save(t.Context(), bytes.NewReader(content), backup.SaveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		last = m
	}
	all, err := a.List(t.Context())
	if err != nil || len(all) != 3 || all[2].Manifest == nil || all[2].ID != last.ID {
		t.Fatalf("%d backups, %v", len(all), err)
	}
	if v, err := a.Verify(t.Context(), last, true, nil); err != nil || len(v.Bad) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	for range 3 {
		now = now.Add(48 * time.Hour)
		if _, err := a.Prune(t.Context(), backup.PruneOptions{Keep: 1, Grace: 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	chunks, err := d.List(t.Context(), "chunks")
	for n := 0; n < 10 && err != nil; n++ { // a busy server
		chunks, err = d.List(t.Context(), "chunks")
	}
	if err != nil || len(chunks) != len(last.Chunks) {
		t.Errorf("%d chunks are left, %d are needed: %v", len(chunks), len(last.Chunks), err)
	}
	var back bytes.Buffer
	if err := a.WriteTo(t.Context(), last, &back, nil); err != nil || !bytes.Equal(back.Bytes(), file) {
		t.Errorf("%d bytes of %d, %v", back.Len(), len(file), err)
	}
	r, err := a.Restore(t.Context(), last, backup.Target{FS: fault.New(1),
		New: replica.Refounding{Cluster: 8, Seats: []int{0}}, Dirs: map[int]string{0: "data"}})
	if err != nil || r.Keys != 2000 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBackupsInABucket(t *testing.T) {
	s := newServer(t)
	archive(t, open(t, s, "s3://"+testBucket+"/orders"))
	for k := range s.objects {
		if !strings.HasPrefix(k, "orders/") {
			t.Errorf("%s lies outside of the prefix", k)
		}
	}
}

// TestBackupsInABucketOfABusyServer: every request is refused twice.
func TestBackupsInABucketOfABusyServer(t *testing.T) {
	s := newServer(t)
	s.page = 1000 // a list begins again when one of its pages fails
	seen := map[string]int{}
	b := open(t, s, "s3://"+testBucket+"/orders")
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		request := r.Method + r.URL.String()
		seen[request]++
		if seen[request] > 2 {
			return false
		}
		refuse(w, http.StatusServiceUnavailable, "SlowDown", "please")
		return true
	}
	archive(t, b)
}

// TestARealServer runs the same against a server that the environment names: METRONOME_TEST_S3 is the
// endpoint, METRONOME_TEST_S3_BUCKET an empty bucket, and the keys are where Open looks for them.
func TestARealServer(t *testing.T) {
	endpoint, bucket := os.Getenv("METRONOME_TEST_S3"), os.Getenv("METRONOME_TEST_S3_BUCKET")
	if endpoint == "" || bucket == "" {
		require.Skip(t, "s3", errors.New("METRONOME_TEST_S3 and METRONOME_TEST_S3_BUCKET name no server"))
	}
	prefix := fmt.Sprintf("test-%d", time.Now().UnixNano())
	for name, use := range map[string]func(*testing.T, backup.Destination){"objects": objects,
		"archive": archive} {
		b, err := Open(t.Context(), Config{Bucket: bucket, Prefix: prefix + "/" + name, Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		use(t, b)
	}
}
