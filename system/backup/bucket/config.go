package bucket

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"metronome/system/access/secretfile"
)

// Config says where a bucket is and who asks.
type Config struct {
	Bucket string
	Prefix string // of all names, without slashes at its ends; empty: none
	// Endpoint is the server's URL, https://host[:port] or http://. Empty: the environment's
	// AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, or Amazon's.
	Endpoint string
	Region   string // empty: AWS_REGION, or what the server says
	// Credentials is a file in the AWS client's form, of the profile AWS_PROFILE or default. Empty: the
	// environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), or ~/.aws/credentials.
	Credentials string
}

const (
	scheme         = "s3://"
	amazon         = "https://s3.amazonaws.com"
	maxCredentials = 64 << 10
)

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// IsURL reports whether a place is a bucket's.
func IsURL(place string) bool { return strings.HasPrefix(place, scheme) }

// Parse reads s3://bucket/prefix.
func Parse(place string) (c Config, err error) {
	rest, ok := strings.CutPrefix(place, scheme)
	c.Bucket, c.Prefix, _ = strings.Cut(rest, "/")
	c.Prefix = strings.Trim(c.Prefix, "/")
	switch {
	case !ok || !bucketPattern.MatchString(c.Bucket):
		return c, fmt.Errorf("bucket: %q: use s3://bucket/prefix, with a bucket of 3 to 63 letters, digits, '-' "+
			"and '.'", place)
	case c.Prefix != "" && path.Clean("/"+c.Prefix) != "/"+c.Prefix:
		return c, fmt.Errorf("bucket: %q: the prefix has empty parts, \".\" or \"..\"", place)
	}
	return c, nil
}

// endpoint is the server's host, and whether it is to be asked over TLS.
func (c *Config) endpoint() (host string, secure bool, err error) {
	from := c.Endpoint
	for _, name := range [...]string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} {
		if from == "" {
			from = os.Getenv(name)
		}
	}
	if from == "" {
		from = amazon
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" {
		return "", false, fmt.Errorf("bucket: endpoint %q: use https://host[:port] (or http://, which hides "+
			"nothing), without keys in it", from)
	}
	return u.Host, u.Scheme == "https", nil
}

func (c *Config) region() string {
	if c.Region != "" {
		return c.Region
	}
	return os.Getenv("AWS_REGION")
}

// credentials are the keys.
func (c *Config) credentials() (*credentials.Credentials, error) {
	if c.Credentials != "" {
		if _, err := secretfile.Read(c.Credentials, maxCredentials); err != nil {
			return nil, fmt.Errorf("bucket: credentials: %w", err)
		}
		return checked(credentials.NewFileAWSCredentials(c.Credentials, ""), "in "+c.Credentials)
	}
	return checked(credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{}}), "in the environment")
}

// checked refuses to go on without keys, which would be to ask as nobody.
func checked(k *credentials.Credentials, where string) (*credentials.Credentials, error) {
	v, err := k.GetWithContext(&credentials.CredContext{})
	if err == nil && (v.AccessKeyID == "" || v.SecretAccessKey == "") {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("bucket: no access key %s: %w. Next: set AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY, or name a file with aws_access_key_id and aws_secret_access_key under [default]",
			where, err)
	}
	return k, nil
}
