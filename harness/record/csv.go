package record

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Writer appends rows to a CSV file, one write(2) a row: what was written survives the process. It
// belongs to one goroutine.
type Writer[R any] struct {
	table Table[R]
	file  *os.File
	size  int64 // bytes of whole rows
	line  bytes.Buffer
}

// OpenWriter opens the file at path for appending and writes the header line if the file is new. A
// last line that an earlier process could not finish is removed. A file with another header is
// refused, and so is one that was compressed.
func OpenWriter[R any](path string, table Table[R]) (*Writer[R], error) {
	if at := Stored(path); at != path {
		return nil, fmt.Errorf("append to %s: that run is finished, its table is %s; start a new run instead",
			path, at)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, diskError("open the table", err)
	}
	w := &Writer[R]{table: table, file: f}
	if err := w.recover(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// recover finds the end of the last whole row and checks or writes the header.
func (w *Writer[R]) recover() error {
	old, err := io.ReadAll(w.file)
	if err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	w.size = int64(bytes.LastIndexByte(old, '\n') + 1)
	if w.size == 0 {
		return w.append(w.table.Names())
	}
	if err := w.rewind(); err != nil {
		return err
	}
	head, _, _ := strings.Cut(string(old), "\n")
	if want := strings.Join(w.table.Names(), ","); head != want {
		return fmt.Errorf("append to %s: its header is that of another version of this program; "+
			"start a new run instead", w.file.Name())
	}
	return nil
}

// Write appends one row. After an error the file ends with the last row that fitted.
func (w *Writer[R]) Write(row R) error { return w.append(w.table.Strings(&row)) }

func (w *Writer[R]) append(fields []string) error {
	w.line.Reset()
	c := csv.NewWriter(&w.line)
	if err := c.Write(fields); err != nil {
		return fmt.Errorf("encode a row: %w", err)
	}
	c.Flush()
	n, err := w.file.WriteAt(w.line.Bytes(), w.size)
	if err != nil {
		err = diskError("write a row", err)
		if n > 0 {
			err = errors.Join(err, w.rewind())
		}
		return err
	}
	w.size += int64(n)
	return nil
}

// rewind removes whatever follows the last whole row.
func (w *Writer[R]) rewind() error {
	if err := w.file.Truncate(w.size); err != nil {
		return fmt.Errorf("remove a torn row: %w", err)
	}
	return nil
}

// Close flushes the file to the disk and closes it.
func (w *Writer[R]) Close() error {
	return diskError("close the table", errors.Join(w.file.Sync(), w.file.Close()))
}

// diskError adds what to do to an error that a full disk caused; nil stays nil.
func diskError(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: %w: the rows before it are kept; "+
			"free some space (df -h .) and run the experiment again", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// WriteFile replaces the file at path by rows.
func WriteFile[R any](path string, table Table[R], rows []R) error {
	var b bytes.Buffer
	c := csv.NewWriter(&b)
	if err := c.Write(table.Names()); err != nil {
		return fmt.Errorf("encode the header of %s: %w", table.File, err)
	}
	for i := range rows {
		if err := c.Write(table.Strings(&rows[i])); err != nil {
			return fmt.Errorf("encode row %d of %s: %w", i, table.File, err)
		}
	}
	c.Flush()
	return replaceFile(path, b.Bytes())
}

// ReadFile reads the rows of the file at path, or of that file with .gz behind its name. Columns may come in
// any order; one that the file lacks stays missing, so that runs of an older version can still be read. An
// unfinished last line is ignored.
func ReadFile[R any](path string, table Table[R]) ([]R, error) {
	b, err := readTable(path)
	if err != nil {
		return nil, err
	}
	rows, err := decode(b[:bytes.LastIndexByte(b, '\n')+1], table)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return rows, nil
}

func decode[R any](b []byte, table Table[R]) ([]R, error) {
	c := csv.NewReader(bytes.NewReader(b))
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("no header line: %w", err)
	}
	at, err := table.locate(head)
	if err != nil {
		return nil, err
	}
	var rows []R
	for {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		row := table.New()
		if err := table.parse(&row, fields, at); err != nil {
			line, _ := c.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		rows = append(rows, row)
	}
}

// locate returns the column index of each name of a header line.
func (t Table[R]) locate(head []string) ([]int, error) {
	names := t.Names()
	at := make([]int, len(head))
	for i, name := range head {
		at[i] = slices.Index(names, name)
		if at[i] < 0 {
			return nil, fmt.Errorf("unknown column %q: the file was written by another version "+
				"of this program; read it with the commit named in its manifest.json", name)
		}
		if slices.Contains(at[:i], at[i]) {
			return nil, fmt.Errorf("column %q appears twice", name)
		}
	}
	return at, nil
}
