package record

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	compressedSuffix = ".gz"
	// compressFrom is the size in bytes from which a finished run's table is compressed. What people look
	// at by hand is smaller, and stays as it is.
	compressFrom = 4 << 20
)

// Compress replaces every table of a finished run that is larger than 4 MiB by NAME.gz, which [ReadFile]
// reads as if it were NAME. The same table makes the same bytes. A table is never missing meanwhile: killed
// between its two steps, this leaves both files, and they say the same.
func Compress(dir string) error { return compressTables(dir, compressFrom) }

func compressTables(dir string, from int64) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil {
		return fmt.Errorf("tables of %s: %w", dir, err)
	}
	for _, path := range tables {
		if info, err := os.Stat(path); err != nil || info.Size() < from {
			continue
		}
		if err := compressTable(path); err != nil {
			return err
		}
	}
	return nil
}

func compressTable(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the table to compress: %w", err)
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression) // no name and no time: the same bytes each time
	if err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	_, err = z.Write(b)
	if err = errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	if err := replaceFile(path+compressedSuffix, small.Bytes()); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the table that %s%s replaces: %w", path, compressedSuffix, err)
	}
	return nil
}

// Stored returns where the table at path really lies: there, or compressed beside it.
func Stored(path string) string {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(path + compressedSuffix); err == nil {
			return path + compressedSuffix
		}
	}
	return path
}

// readTable returns the bytes of the table at path, which may lie there compressed.
func readTable(path string) ([]byte, error) {
	path = Stored(path)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the table: %w", err)
	}
	if filepath.Ext(path) != compressedSuffix {
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err == nil {
		b, err = io.ReadAll(z)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: it is damaged or cut off; "+
			"take it again from where it was committed (git checkout -- %s)", path, err, path)
	}
	return b, nil
}
