package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

// batchJSON is a batch as it is sent.
type batchJSON struct {
	Session  string   `json:"session"`
	Instance string   `json:"instance"`
	Epoch    uint64   `json:"epoch"`
	Prev     uint64   `json:"prev"`
	Last     uint64   `json:"last"`
	Mode     string   `json:"mode"`
	Ops      []opJSON `json:"ops"`
}

type opJSON struct {
	Seq         uint64  `json:"seq"`
	Op          string  `json:"op"`
	Key         *string `json:"key"`
	KeyBase64   *[]byte `json:"key_base64"`
	Value       *string `json:"value"`
	ValueBase64 *[]byte `json:"value_base64"`
	Type        string  `json:"content_type"`
	IfMatch     string  `json:"if_match"`
	IfNoneMatch string  `json:"if_none_match"`
}

// decodeBatch reads a batch. It judges form, not rights.
func decodeBatch(body []byte) (*Batch, error) {
	if !utf8.Valid(body) { // the decoder would replace what it cannot read, and store that
		return nil, NewProblem("invalid-body", "The body is not UTF-8; write other bytes as key_base64 and "+
			"value_base64.")
	}
	if halved(body) {
		return nil, NewProblem("invalid-body", "The body escapes half of a surrogate pair, which is no "+
			"character; write other bytes as key_base64 and value_base64.")
	}
	var in batchJSON
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, NewProblem("invalid-body", "The body is not a batch: "+err.Error()+".")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, NewProblem("invalid-body", "Something follows the batch.")
	}
	return in.batch(xxh3.Hash(body))
}

// halved reports whether JSON escapes half of a surrogate pair without the other half. The decoder would
// make all of them the same character: keys that differ would be one.
func halved(body []byte) bool {
	for {
		i := bytes.IndexByte(body, '\\')
		if i < 0 {
			return false
		}
		body = body[i:]
		r := escaped(body)
		if !utf16.IsSurrogate(r) {
			body = body[min(2, len(body)):]
			continue
		}
		if body = body[6:]; utf16.DecodeRune(r, escaped(body)) == utf8.RuneError {
			return true
		}
		body = body[6:]
	}
}

// escaped is what a \u at the beginning stands for, 0 if there is none: what is wrong the decoder says.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(n)
}

func wrong(format string, args ...any) *Problem {
	return NewProblem("invalid-batch", fmt.Sprintf(format, args...))
}

func (in *batchJSON) batch(digest uint64) (*Batch, error) {
	b := &Batch{Atomic: in.Mode == "atomic", Ops: make([]Op, len(in.Ops))}
	switch {
	case in.Mode != "" && in.Mode != "atomic" && in.Mode != "each":
		return nil, wrong("mode is atomic or each, not %q.", in.Mode)
	case len(in.Ops) > MaxOps:
		return nil, NewProblem("too-large", "A batch has at most "+strconv.Itoa(MaxOps)+" operations.")
	case in.Session == "" && (in.Epoch != 0 || in.Prev != 0 || in.Last != 0 || in.Instance != ""):
		return nil, wrong("epoch, instance, prev and last go with a session.")
	case in.Session == "" && len(in.Ops) == 0:
		return nil, wrong("The batch has no operations.")
	}
	size := 0
	for i := range in.Ops {
		if err := in.Ops[i].operation(&b.Ops[i]); err != nil {
			return nil, wrong("Operation %d: %v.", i, err).With("index", i)
		}
		size += len(b.Ops[i].Value)
	}
	if size > MaxBatchBytes {
		return nil, NewProblem("too-large", "The values of a batch have at most 1 MiB together.")
	}
	return b, in.sender(b, digest)
}

// sender checks the numbers.
func (in *batchJSON) sender(b *Batch, digest uint64) error {
	if in.Session == "" {
		for i := range b.Ops {
			if b.Ops[i].Seq != 0 {
				return wrong("Operation %d has a number, and the batch no session.", i).With("index", i)
			}
		}
		return nil
	}
	if !named(in.Session) || in.Instance != "" && !named(in.Instance) {
		return wrong("session and instance have 1 to %d letters, digits, - and _.", MaxSession)
	}
	if in.Epoch == 0 {
		return wrong("epoch is how often the queue was opened: 1 or more.")
	}
	last := in.Prev
	for i := range b.Ops {
		if b.Ops[i].Seq <= last {
			return wrong("Operation %d has number %d: numbers ascend, above prev.", i, b.Ops[i].Seq).With("index", i)
		}
		last = b.Ops[i].Seq
	}
	if in.Last != 0 && in.Last < last {
		return wrong("last is %d, below the last number %d.", in.Last, last)
	}
	b.Sender = &Sender{Session: in.Session, Instance: in.Instance, Epoch: in.Epoch, Prev: in.Prev,
		Last: max(in.Last, last), Digest: digest}
	return nil
}

// operation reads one.
func (in *opJSON) operation(op *Op) (err error) {
	op.Seq, op.Type = in.Seq, in.Type
	if op.Key, err = either("key", in.Key, in.KeyBase64); err != nil {
		return err
	}
	var ok, ok2 bool
	op.IfMatch, ok = conditionOf(in.IfMatch)
	op.IfNoneMatch, ok2 = conditionOf(in.IfNoneMatch)
	switch {
	case !ok || !ok2:
		return errors.New(`if_match and if_none_match are "*" or an ETag`)
	case !validType(in.Type):
		return errors.New("content_type has at most 255 bytes of visible ASCII")
	case in.Op == "put":
		op.Kind = Put
		op.Value, err = either("value", in.Value, in.ValueBase64)
		return err
	case in.Op == "delete" && in.Value == nil && in.ValueBase64 == nil && in.Type == "":
		op.Kind = Delete
		return nil
	case in.Op == "delete":
		return errors.New("a delete has no value")
	}
	return fmt.Errorf("op is put or delete, not %q", in.Op)
}

func either(name string, text *string, raw *[]byte) ([]byte, error) {
	switch {
	case text != nil && raw != nil:
		return nil, fmt.Errorf("both %s and %s_base64 are given", name, name)
	case text != nil:
		return []byte(*text), nil
	case raw != nil:
		return *raw, nil
	}
	return nil, fmt.Errorf("neither %s nor %s_base64 is given", name, name)
}

// appendText writes bytes as a JSON member: as text if they are UTF-8, else in base64.
func appendText(b []byte, name string, s []byte, text bool) []byte {
	b = append(b, '"')
	b = append(b, name...)
	if text && utf8.Valid(s) {
		b = append(b, `":`...)
		return appendJSON(b, string(s))
	}
	b = append(b, `_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, s)
	return append(b, '"')
}

// appendJSON writes what always can be written: strings, and what is made of them and of numbers.
func appendJSON(b []byte, v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, out...)
}
