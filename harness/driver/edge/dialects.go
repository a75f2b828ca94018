package edge

import (
	"encoding/base64"
	"net/http"
	"strconv"

	"metronome/harness/load/kv"
)

// edgeDialect is the edge's REST: a put is a PUT of the value's bytes, several are one atomic batch.
type edgeDialect struct {
	host string
	auth string // a whole header line
}

// newEdgeDialect authenticates by HTTP Basic.
func newEdgeDialect(host, user, password string) edgeDialect {
	return edgeDialect{host, "Authorization: Basic " +
		base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"}
}

func (d edgeDialect) request(to []byte, b *kv.Batch) []byte {
	op := b.Ops[0]
	switch {
	case len(b.Ops) > 1:
		body := edgeBatch(nil, b.Ops)
		headers := d.auth + "Content-Type: application/json\r\n"
		return append(head(to, "POST /v1/batch", d.host, headers, len(body)), body...)
	case op.Read:
		return head(to, "GET /v1/kv/"+string(op.Key), d.host, d.auth, -1)
	}
	return append(head(to, "PUT /v1/kv/"+string(op.Key), d.host, d.auth, len(op.Value)), op.Value...)
}

func edgeBatch(to []byte, ops []kv.Op) []byte {
	to = append(to, `{"mode":"atomic","ops":[`...)
	for i, op := range ops {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, `{"op":"put","key":"`...)
		to = append(to, op.Key...)
		to = append(to, `","value_base64":"`...)
		to = base64.StdEncoding.AppendEncode(to, op.Value)
		to = append(to, `"}`...)
	}
	return append(to, "]}"...)
}

func (d edgeDialect) ok(status int, read bool) (ok, busy bool) {
	return status >= 200 && status < 300 || read && status == http.StatusNotFound,
		status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
}

// head appends a request's head; a negative length is no body.
func head(to []byte, line, host, headers string, length int) []byte {
	to = append(append(append(to, line...), " HTTP/1.1\r\nHost: "...), host...)
	to = append(append(to, "\r\n"...), headers...)
	if length >= 0 {
		to = strconv.AppendInt(append(to, "Content-Length: "...), int64(length), 10)
		to = append(to, "\r\n"...)
	}
	return append(to, "\r\n"...)
}

// etcdDialect is etcd's JSON gateway: several puts are one transaction.
type etcdDialect struct{ host string }

func (d etcdDialect) request(to []byte, b *kv.Batch) []byte {
	op := b.Ops[0]
	path, body := "POST /v3/kv/txn", []byte(nil)
	switch {
	case len(b.Ops) > 1:
		body = etcdTxn(body, b.Ops)
	case op.Read:
		path, body = "POST /v3/kv/range", append(etcdKey([]byte("{"), op.Key), '}')
	default:
		path, body = "POST /v3/kv/put", append(etcdPut([]byte("{"), op), '}')
	}
	return append(head(to, path, d.host, "Content-Type: application/json\r\n", len(body)), body...)
}

func etcdKey(to, key []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(to, `"key":"`...), key), '"')
}

func etcdPut(to []byte, op kv.Op) []byte {
	to = append(etcdKey(to, op.Key), `,"value":"`...)
	return append(base64.StdEncoding.AppendEncode(to, op.Value), '"')
}

// etcdTxn is a transaction. It may not put a key twice: of equal keys, the last put counts.
func etcdTxn(to []byte, ops []kv.Op) []byte {
	last := make(map[string]int, len(ops))
	for i, op := range ops {
		last[string(op.Key)] = i
	}
	to = append(to, `{"success":[`...)
	begun := false
	for i, op := range ops {
		if last[string(op.Key)] != i {
			continue
		}
		if begun {
			to = append(to, ',')
		}
		begun = true
		to = append(etcdPut(append(to, `{"request_put":{`...), op), "}}"...)
	}
	return append(to, "]}"...)
}

func (etcdDialect) ok(status int, _ bool) (ok, busy bool) { return status == http.StatusOK, false }
