package devicecmd

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"metronome/system/device"
	"metronome/system/device/queue"
)

// stream is operations as they are read.
type stream = iter.Seq2[device.Write, error]

func parse(in io.Reader, format string) (stream, error) {
	switch format {
	case "csv":
		return parseCSV(in), nil
	case "lines":
		return parseLines(in), nil
	}
	return nil, fmt.Errorf("unknown format %q: use csv or lines", format)
}

func parseCSV(in io.Reader) stream {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.ReuseRecord = 2, true
	return func(yield func(device.Write, error) bool) {
		for {
			row, err := r.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(device.Write{}, err)
				return
			}
			if !yield(device.Write{Key: row[0], Value: []byte(row[1])}, nil) {
				return
			}
		}
	}
}

func parseLines(in io.Reader) stream {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), queue.MaxKey+queue.MaxValue+2)
	return func(yield func(device.Write, error) bool) {
		for n := 1; s.Scan(); n++ {
			line := s.Text()
			i := strings.IndexAny(line, " \t")
			if i <= 0 {
				yield(device.Write{}, fmt.Errorf("line %d has no key and value with a space or tab between", n))
				return
			}
			if !yield(device.Write{Key: line[:i], Value: []byte(line[i+1:])}, nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(device.Write{}, err)
		}
	}
}
