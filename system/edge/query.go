package edge

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// query is a URL's query, read strictly: a misspelt name is an error, not a default.
type query struct {
	values url.Values
	bad    *Problem // the first thing wrong
}

func parseQuery(c *call, known ...string) *query {
	q := &query{}
	var err error
	if q.values, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		q.refuse("The query is not well-formed: " + err.Error() + ".")
	}
	for name, values := range q.values {
		if !slices.Contains(known, name) {
			q.refuse("There is no parameter " + strconv.Quote(name) + "; these are: " +
				strings.Join(known, ", ") + ".")
		}
		if len(values) > 1 {
			q.refuse(name + " is given twice.")
		}
	}
	return q
}

func (q *query) refuse(why string) {
	if q.bad == nil {
		q.bad = NewProblem("invalid-query", why)
	}
}

func (q *query) text(name string, most int) string {
	s := q.values.Get(name)
	if len(s) > most {
		q.refuse(name + " is too long: at most " + strconv.Itoa(most) + " bytes.")
	}
	return s
}

func (q *query) number(name string, least, most, otherwise uint64) uint64 {
	s, given := q.values[name]
	if !given {
		return otherwise
	}
	n, err := strconv.ParseUint(s[0], 10, 64)
	if err != nil || n < least || n > most {
		q.refuse(name + " is a number from " + strconv.FormatUint(least, 10) + " to " +
			strconv.FormatUint(most, 10) + ".")
	}
	return n
}

func (q *query) flag(name string) bool {
	s, given := q.values[name]
	if !given {
		return false
	}
	if s[0] != "" && s[0] != "true" && s[0] != "false" {
		q.refuse(name + " is true or false.")
	}
	return s[0] != "false"
}

// read is the level of freshness asked for, with X-Min-Revision.
func (q *query) read(c *call) (r Read) {
	least := c.r.Header.Get("X-Min-Revision")
	switch s := q.values.Get("consistency"); {
	case s == "quorum":
		r.Level = Quorum
	case s == "session" || s == "" && least != "":
		r.Level = Session
	case s != "" && s != "local":
		q.refuse("consistency is local, session or quorum.")
	}
	if r.Level != Session {
		return r
	}
	n, err := strconv.ParseUint(least, 10, 64)
	if err != nil {
		q.refuse("consistency=session goes with the header X-Min-Revision, the revision that was seen.")
	}
	r.Min = n
	return r
}

// err is what is wrong, if anything.
func (q *query) err() error {
	if q.bad != nil {
		return q.bad
	}
	return nil
}
