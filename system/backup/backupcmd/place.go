package backupcmd

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"metronome/system/backup"
	"metronome/system/backup/bucket"
	"metronome/system/disk"
)

// place is where backups lie, as flags say it.
type place struct {
	where       string
	endpoint    string
	region      string
	credentials string
}

func (p *place) add(cmd *cobra.Command, flag, what string) {
	f := cmd.Flags()
	f.StringVar(&p.where, flag, "", what+": a directory, or s3://bucket/prefix")
	f.StringVar(&p.endpoint, "s3-endpoint", "", "the bucket's server, https://host[:port] (default "+
		"$AWS_ENDPOINT_URL_S3, $AWS_ENDPOINT_URL, or Amazon's)")
	f.StringVar(&p.region, "s3-region", "", "the bucket's region (default $AWS_REGION, or what the server says)")
	f.StringVar(&p.credentials, "s3-credentials", "", "file with the access key, in the AWS client's form "+
		"(default $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials)")
	_ = cmd.MarkFlagRequired(flag)
}

// open opens the place; made makes a directory that is not there.
func (p *place) open(ctx context.Context, made bool) (*backup.Archive, error) {
	d, err := p.destination(ctx, made)
	if err != nil {
		return nil, err
	}
	return backup.New(d, backup.Options{}), nil
}

func (p *place) destination(ctx context.Context, made bool) (backup.Destination, error) {
	if bucket.IsURL(p.where) {
		c, err := bucket.Parse(p.where)
		if err != nil {
			return nil, err
		}
		c.Endpoint, c.Region, c.Credentials = p.endpoint, p.region, p.credentials
		return bucket.Open(ctx, c)
	}
	dir, err := filepath.Abs(p.where)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", p.where, err)
	}
	if made {
		return backup.NewDirectory(disk.OS(), dir)
	}
	return backup.OpenDirectory(disk.OS(), dir)
}
