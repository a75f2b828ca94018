package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Column is one column of a CSV file: how it is called, what it counts and where it lives in a row
// R.
type Column[R any] struct {
	Name string // as in the header line; ends in its unit where it has one
	Unit string // "frames", "ns", "1/s", "" for words and pure numbers
	Doc  string // one sentence for results/README.md

	// Measured marks a value that only a trial which ran can have. It is written empty in a row
	// that did not run.
	Measured bool

	// Field returns a pointer into the row: *string, *bool, *int, *int64, *uint64 or *float64.
	// A NaN is the missing float64.
	Field func(*R) any
}

// Table is the schema of one CSV file.
type Table[R any] struct {
	File    string // the file's name inside a run directory
	Doc     string // what one row is
	Columns []Column[R]

	ran func(*R) bool // nil: every row has its measured values
}

// Names returns the header line, in order.
func (t Table[R]) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// New returns a row in which every floating-point value is missing, so that what nobody measured is
// written empty and not as a zero.
func (t Table[R]) New() R {
	var row R
	for _, c := range t.Columns {
		if f, ok := c.Field(&row).(*float64); ok {
			*f = math.NaN()
		}
	}
	return row
}

// Strings formats row in the order of Names. Numbers are written with the fewest digits that read
// back to the same value; a missing value is the empty string.
func (t Table[R]) Strings(row *R) []string {
	fields := make([]string, len(t.Columns))
	blank := t.ran != nil && !t.ran(row)
	for i, c := range t.Columns {
		if !c.Measured || !blank {
			fields[i] = format(c.Field(row))
		}
	}
	return fields
}

// MarshalRows returns rows as a JSON array of objects whose keys are the column names in order. A
// missing value is null.
func (t Table[R]) MarshalRows(rows []R) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("[")
	for i := range rows {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  {")
		for j, text := range t.Strings(&rows[i]) {
			if j > 0 {
				b.WriteString(", ")
			}
			value, err := jsonValue(t.Columns[j].Field(&rows[i]), text)
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", t.Columns[j].Name, err)
			}
			fmt.Fprintf(&b, "%q: %s", t.Columns[j].Name, value)
		}
		b.WriteString("}")
	}
	b.WriteString("\n]\n")
	return b.Bytes(), nil
}

func jsonValue(field any, text string) ([]byte, error) {
	if _, ok := field.(*string); ok {
		return json.Marshal(text)
	}
	if text == "" || strings.HasSuffix(text, "Inf") {
		return []byte("null"), nil
	}
	return []byte(text), nil
}

// parse fills row from fields, where at[i] is the column of fields[i].
func (t Table[R]) parse(row *R, fields []string, at []int) error {
	for i, text := range fields {
		c := t.Columns[at[i]]
		if err := parse(c.Field(row), text); err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return nil
}

// format writes a field. Floats follow encoding/json: the shortest text that reads back to the same
// value, with an exponent only where the plain digits would be unreadable.
func format(field any) string {
	switch v := field.(type) {
	case *string:
		return oneLine(*v)
	case *bool:
		return strconv.FormatBool(*v)
	case *int:
		return strconv.Itoa(*v)
	case *int64:
		return strconv.FormatInt(*v, 10)
	case *uint64:
		return strconv.FormatUint(*v, 10)
	case *float64:
		return formatFloat(*v)
	}
	panic(fmt.Sprintf("record: a column of type %T has no text form", field))
}

func formatFloat(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// oneLine keeps a row on one line, which is what lets a torn last row be recognised.
func oneLine(s string) string {
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(s)
}

// parse is the inverse of format. The empty text leaves integers and booleans zero and makes a
// float missing.
func parse(field any, text string) (err error) {
	switch v := field.(type) {
	case *string:
		*v = text
		return nil
	case *float64:
		*v = math.NaN()
	}
	if text == "" {
		return nil
	}
	switch v := field.(type) {
	case *bool:
		*v, err = strconv.ParseBool(text)
	case *int:
		*v, err = strconv.Atoi(text)
	case *int64:
		*v, err = strconv.ParseInt(text, 10, 64)
	case *uint64:
		*v, err = strconv.ParseUint(text, 10, 64)
	case *float64:
		*v, err = strconv.ParseFloat(text, 64)
	default:
		panic(fmt.Sprintf("record: a column of type %T has no text form", field))
	}
	return err
}
