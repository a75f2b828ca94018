package bucket

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the protocol's check of transmission
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"metronome/system/backup"
)

// Bucket is a destination in a bucket.
type Bucket struct {
	client *minio.Core
	bucket string
	prefix string
}

var _ backup.Destination = (*Bucket)(nil)

// Open looks whether the bucket is there for us.
func Open(ctx context.Context, c Config) (*Bucket, error) {
	host, secure, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	keys, err := c.credentials()
	if err != nil {
		return nil, err
	}
	client, err := minio.NewCore(host, &minio.Options{Creds: keys, Secure: secure, Region: c.region(),
		MaxRetries: 1})
	if err != nil {
		return nil, fmt.Errorf("bucket: %w", err)
	}
	b := &Bucket{client: client, bucket: c.Bucket, prefix: c.Prefix}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	there, err := client.BucketExists(ctx, c.Bucket)
	if err == nil && !there {
		err = errors.New("there is no such bucket, or it is not shown to this key. Next: make it, or use another")
	}
	if err != nil {
		return nil, fmt.Errorf("bucket: %v at %s: %w", b, host, err)
	}
	return b, nil
}

// callTimeout bounds one call: an object of a few MiB, or a page of a list.
const callTimeout = 5 * time.Minute

// String implements [backup.Destination].
func (b *Bucket) String() string { return scheme + strings.TrimSuffix(b.bucket+"/"+b.prefix, "/") }

func (b *Bucket) key(name string) string {
	if b.prefix == "" {
		return name
	}
	return b.prefix + "/" + name
}

// Put implements [backup.Destination].
func (b *Bucket) Put(ctx context.Context, name string, content []byte) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sum, old := sha256.Sum256(content), md5.Sum(content) //nolint:gosec // the protocol's check of transmission
	// DisableContentSha256 turns off the signing of pieces; the signed sum of the whole is ours.
	_, err := b.client.PutObject(call, b.bucket, b.key(name), bytes.NewReader(content), int64(len(content)),
		base64.StdEncoding.EncodeToString(old[:]), hex.EncodeToString(sum[:]),
		minio.PutObjectOptions{ContentType: "application/octet-stream", DisableContentSha256: true})
	return b.failed(ctx, "write", name, err)
}

// Get implements [backup.Destination].
func (b *Bucket) Get(ctx context.Context, name string, limit int) ([]byte, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, _, _, err := b.client.GetObject(call, b.bucket, b.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, b.failed(ctx, "read", name, err)
	}
	content, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, b.failed(ctx, "read", name, err)
	}
	if len(content) > limit {
		return nil, fmt.Errorf("bucket: %s in %v has more than the %d bytes that are right: %w", name, b, limit,
			backup.ErrDamaged)
	}
	return content, nil
}

// List implements [backup.Destination].
func (b *Bucket) List(ctx context.Context, folder string) (all []backup.Object, err error) {
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	prefix := b.key(folder) + "/"
	what := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
	for o := range b.client.ListObjectsIter(call, b.bucket, what) {
		if o.Err != nil {
			return nil, b.failed(ctx, "list", folder, o.Err)
		}
		all = append(all, backup.Object{Name: strings.TrimPrefix(o.Key, prefix), Size: o.Size})
	}
	return all, ctx.Err()
}

// Remove implements [backup.Destination].
func (b *Bucket) Remove(ctx context.Context, name string) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := b.client.RemoveObject(call, b.bucket, b.key(name), minio.RemoveObjectOptions{})
	err = b.failed(ctx, "remove", name, err)
	if errors.Is(err, backup.ErrNotFound) {
		return nil
	}
	return err
}

// failed says what an error is, and whether to try again.
func (b *Bucket) failed(ctx context.Context, what, name string, err error) error {
	if err == nil {
		return nil
	}
	var r minio.ErrorResponse
	_ = errors.As(err, &r) // else it says nothing
	said := fmt.Errorf("bucket: %s %s in %v: %w", what, name, b, err)
	var certificate *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return said
	case r.Code == minio.NoSuchKey:
		return fmt.Errorf("bucket: %s in %v: %w", name, b, backup.ErrNotFound)
	case errors.As(err, &certificate):
		return said
	case r.StatusCode >= http.StatusInternalServerError || r.StatusCode == http.StatusTooManyRequests ||
		r.StatusCode == http.StatusRequestTimeout || busy[r.Code]:
		return &backup.Temporary{Err: said}
	case r.StatusCode >= http.StatusBadRequest: // the server has looked at it and says no
		return said
	}
	return &backup.Temporary{Err: said} // the answer did not come, or not whole
}

// busy are what servers call failures that pass, with other statuses than one would think.
var busy = map[string]bool{"RequestTimeout": true, "SlowDown": true, "InternalError": true, "BadDigest": true,
	"IncompleteBody": true, "Throttling": true}
