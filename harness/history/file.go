package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"metronome/system/wire"
)

// fileFormat is the first line of a history file.
const fileFormat = "metronome history 1"

// maxLine bounds a line of a history file.
const maxLine = 16 << 20

// File is a history as it is kept: lines of JSON, so that one can be read, cut and searched by hand. The
// first names the format; then come operations, ascending by invocation, records of the log if it is
// known, and notes, such as the faults that were injected, which no judge looks at.
type File struct {
	History
	Notes []json.RawMessage
}

// line is one line. Exactly one field is set.
type line struct {
	Header    *header         `json:"header,omitempty"`
	Operation *Operation      `json:"operation,omitempty"`
	Record    *Record         `json:"record,omitempty"`
	Note      json.RawMessage `json:"note,omitempty"`
}

type header struct {
	Format string `json:"format"`
	Start  uint64 `json:"start"`
	Limits Limits `json:"limits"`
}

// Write writes a history file.
func (f *File) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	out := json.NewEncoder(b)
	out.SetEscapeHTML(false)
	err := out.Encode(line{Header: &header{fileFormat, f.Start, f.Limits}})
	for _, n := range f.Notes {
		err = errors.Join(err, out.Encode(line{Note: n}))
	}
	for i := range f.Operations {
		op := &f.Operations[i]
		if !utf8.ValidString(op.Call.Key + op.Call.Value + op.Answer.Value) {
			return fmt.Errorf("write a history: operation %d: keys and values must be UTF-8", i)
		}
		err = errors.Join(err, out.Encode(line{Operation: op}))
	}
	for i := range f.Log {
		err = errors.Join(err, out.Encode(line{Record: &f.Log[i]}))
	}
	if err = errors.Join(err, b.Flush()); err != nil {
		return fmt.Errorf("write a history: %w", err)
	}
	return nil
}

// Read reads a history file. A file that was cut short is an error that names the line.
func Read(r io.Reader) (*File, error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	f := &File{}
	n := 0
	for n = 1; s.Scan(); n++ {
		var l line
		err := json.Unmarshal(s.Bytes(), &l)
		if err == nil {
			err = f.add(n, &l)
		}
		if err != nil {
			return nil, fmt.Errorf("history, line %d: %w", n, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("history, line %d: %w", n, err)
	}
	if n == 1 {
		return nil, errors.New("history: the file is empty")
	}
	return f, nil
}

func (f *File) add(n int, l *line) error {
	switch {
	case n == 1 && (l.Header == nil || l.Header.Format != fileFormat):
		return fmt.Errorf("this is no history: the first line has no format %q", fileFormat)
	case l.Header != nil:
		f.Start, f.Limits = l.Header.Start, l.Header.Limits
	case l.Operation != nil:
		if last := len(f.Operations) - 1; last >= 0 && f.Operations[last].Invoked > l.Operation.Invoked {
			return errors.New("it was invoked before the one above it")
		}
		f.Operations = append(f.Operations, *l.Operation)
	case l.Record != nil:
		f.Log = append(f.Log, *l.Record)
	case l.Note != nil:
		f.Notes = append(f.Notes, l.Note)
	default:
		return errors.New("neither operation, record nor note")
	}
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *Outcome) UnmarshalText(b []byte) error {
	for v := Unknown; v <= Refused; v++ {
		if v.String() == string(b) {
			*o = v
			return nil
		}
	}
	return fmt.Errorf("outcome %q: use unknown, answered or refused", b)
}

// opName is an operation's kind as a history file has it.
type opName wire.Op

// MarshalText implements [encoding.TextMarshaler].
func (o opName) MarshalText() ([]byte, error) {
	return []byte(opNames[min(int(o), len(opNames)-1)]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (o *opName) UnmarshalText(b []byte) error {
	for i, name := range opNames[:len(opNames)-1] {
		if name == string(b) {
			*o = opName(i)
			return nil
		}
	}
	return fmt.Errorf("unknown operation %q", b)
}

// plainCall is a call without methods.
type plainCall Call

// MarshalJSON implements [json.Marshaler]: the operation by its name.
func (c Call) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Op opName `json:"op"`
		plainCall
	}{opName(c.Op), plainCall(c)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Call) UnmarshalJSON(b []byte) error {
	var named struct {
		Op opName `json:"op"`
		plainCall
	}
	if err := json.Unmarshal(b, &named); err != nil {
		return err
	}
	*c = Call(named.plainCall)
	c.Op = wire.Op(named.Op)
	return nil
}
