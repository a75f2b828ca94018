// Package bucket keeps backups in a bucket of S3 or of a server that speaks its protocol: it is a
// backup.Destination, on minio-go.
//
// Objects are at most a few MiB, so each is one PUT, which a server takes whole or not at all, with a
// sum that it checks. Requests are signed (version 4). Keys come from a file that nobody else may
// read, from the environment, or from the AWS client's own file; never from a command line. A failure
// that may pass, such as a lost connection or a server that is busy, is a backup.Temporary one: the
// archive tries again.
//
// The package makes no buckets, and sets neither encryption nor retention: those are the bucket's own
// policy. It expects lists to show what was written before, as S3 has since 2020.
package bucket
