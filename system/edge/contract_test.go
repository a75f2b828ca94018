package edge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"metronome/system/edge"
)

// contract is the description that the server serves.
func contract(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(edge.OpenAPI())
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// keeps checks a reply against an operation of the description.
func keeps(t *testing.T, op *openapi3.Operation, r *reply) {
	t.Helper()
	declared := op.Responses.Status(r.StatusCode)
	if declared == nil && r.StatusCode >= 400 {
		declared = op.Responses.Default()
	}
	if declared == nil {
		t.Fatalf("%s: status %d is not in the description", op.OperationID, r.StatusCode)
	}
	if r.body == "" {
		return
	}
	content := declared.Value.Content.Get(r.Header.Get("Content-Type"))
	if content == nil {
		t.Fatalf("%s: %d with %s is not in the description", op.OperationID, r.StatusCode,
			r.Header.Get("Content-Type"))
	}
	if !strings.Contains(r.Header.Get("Content-Type"), "json") {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%s: %v: %s", op.OperationID, err, r.body)
	}
	if err := content.Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s: %v: %s", op.OperationID, err, r.body)
	}
}

const (
	jsonType = "Content-Type: application/json"
	one      = `{"session":"q","epoch":1,"prev":0,"ops":[{"seq":1,"op":"put","key":"b/1","value":"x"},` +
		`{"seq":2,"op":"delete","key_base64":"/w=="},{"seq":3,"op":"put","key":"b//1","value":"x"}]}`
	refusedBatch = `{"session":"q","epoch":1,"prev":3,"mode":"atomic","ops":[{"seq":4,"op":"put","key":"a",` +
		`"value":"","if_match":"9"}]}`
)

// onlyQuorum is in place of a status: 200 over the replicated core, and 422 elsewhere.
const onlyQuorum = 0

// exchanges are requests and what they must be answered, in order, on one edge.
var exchanges = []struct {
	template, method, path, body, headers string
	status                                int
	code                                  string
}{
	{"/v1/kv/{key}", "PUT", "/v1/kv/a", "one", "If-None-Match: *", 201, ""},
	{"/v1/kv/{key}", "PUT", "/v1/kv/a", "two", `If-Match: "1"`, 204, ""},
	{"/v1/kv/{key}", "PUT", "/v1/kv/a", "two", `If-Match: "1"`, 412, "precondition-failed"},
	{"/v1/kv/{key}", "PUT", "/v1/kv/a", "two", `If-None-Match: *`, 412, "precondition-failed"},
	{"/v1/kv/{key}", "PUT", "/v1/kv/a", "two", `If-Match: W/"2"`, 400, "invalid-condition"},
	{"/v1/kv/{key}", "PUT", "/v1/kv/a", "two", `Content-Encoding: gzip`, 415, "unsupported-media-type"},
	{"/v1/kv/{key}", "PUT", "/v1/kv/strict/a", "1", "", 428, "precondition-required"},
	{"/v1/kv/{key}", "PUT", "/v1/kv/strict/a", "1", "If-None-Match: *", 201, ""},
	{"/v1/kv/{key}", "PUT", "/v1/kv/a?x=1", "1", "", 400, "invalid-query"},
	{"/v1/kv/{key}", "GET", "/v1/kv/a", "", "", 200, ""},
	{"/v1/kv/{key}", "GET", "/v1/kv/a", "", `If-None-Match: "2", W/"7"`, 304, ""},
	{"/v1/kv/{key}", "GET", "/v1/kv/a", "", `If-Match: "7"`, 412, "precondition-failed"},
	{"/v1/kv/{key}", "GET", "/v1/kv/none", "", "", 404, "key-not-found"},
	{"/v1/kv/{key}", "GET", "/v1/kv/a?consistency=quorum", "", "", onlyQuorum, "unavailable-here"},
	{"/v1/kv/{key}", "GET", "/v1/kv/a?consistency=session", "", "X-Min-Revision: 2", 200, ""},
	{"/v1/kv/{key}", "GET", "/v1/kv/a", "", "X-Min-Revision: 99", 503, "behind"},
	{"/v1/kv/{key}", "GET", "/v1/kv/a?consistency=some", "", "", 400, "invalid-query"},
	{"/v1/kv/{key}", "HEAD", "/v1/kv/a", "", "", 200, ""},
	{"/v1/kv/{key}", "HEAD", "/v1/kv/none", "", "", 404, ""},
	{"/v1/kv/{key}", "DELETE", "/v1/kv/none", "", "", 204, ""},
	{"/v1/kv/{key}", "DELETE", "/v1/kv/none", "", "If-Match: *", 404, "key-not-found"},
	{"/v1/kv/{key}", "DELETE", "/v1/kv/none", "", `If-Match: "1"`, 412, "precondition-failed"},
	{"/v1/kv/{key}", "DELETE", "/v1/kv/strict/a", "", `If-Match: "3"`, 204, ""},
	{"/v1/batch", "POST", "/v1/batch", one, jsonType + "|Idempotency-Key: q-3", 200, ""},
	{"/v1/batch", "POST", "/v1/batch", one, jsonType + "|Idempotency-Key: q-3", 200, ""},
	{"/v1/batch", "POST", "/v1/batch", strings.Replace(one, `"x"`, `"y"`, 1),
		jsonType + "|Idempotency-Key: q-3", 422, "idempotency-key-reused"},
	{"/v1/batch", "POST", "/v1/batch", one, jsonType, 400, "idempotency-key-missing"},
	{"/v1/batch", "POST", "/v1/batch", one, jsonType + "|Idempotency-Key: q-4", 400, "idempotency-key-invalid"},
	{"/v1/batch", "POST", "/v1/batch", refusedBatch, jsonType + "|Idempotency-Key: q-4", 412, "batch-refused"},
	{"/v1/batch", "POST", "/v1/batch", `{"session":"q","epoch":1,"prev":9,"ops":[]}`,
		jsonType + "|Idempotency-Key: q-9", 409, "sequence-gap"},
	{"/v1/batch", "POST", "/v1/batch", `{"session":"q","epoch":2,"instance":"i","prev":3,"ops":[]}`,
		jsonType + "|Idempotency-Key: q-3", 200, ""},
	{"/v1/batch", "POST", "/v1/batch", `{"session":"q","epoch":2,"instance":"j","prev":3,"ops":[]}`,
		jsonType + "|Idempotency-Key: q-3", 409, "session-cloned"},
	{"/v1/batch", "POST", "/v1/batch", `{"session":"q","epoch":1,"prev":3,"ops":[]}`,
		jsonType + "|Idempotency-Key: q-3", 409, "fenced"},
	{"/v1/batch", "POST", "/v1/batch", `{"ops":[{"op":"put","key":"c","value_base64":"AA=="}]}`,
		jsonType, 200, ""},
	{"/v1/batch", "POST", "/v1/batch", `{"ops":[{"op":"put","key":"c"}]}`, jsonType, 400, "invalid-batch"},
	{"/v1/batch", "POST", "/v1/batch", `{"opps":[]}`, jsonType, 400, "invalid-body"},
	{"/v1/batch", "POST", "/v1/batch", `{"ops":[{"op":"put","key":"c\ud800","value":""}]}`, jsonType, 400,
		"invalid-body"},
	{"/v1/batch", "POST", "/v1/batch", `{}`, "", 415, "unsupported-media-type"},
	{"/v1/kv", "GET", "/v1/kv?encoding=utf8", "", "", 200, ""},
	{"/v1/kv", "GET", "/v1/kv?limit=1&keys_only", "", "", 200, ""},
	{"/v1/kv", "GET", "/v1/kv?delimiter=/", "", "", 200, ""},
	{"/v1/kv", "GET", "/v1/kv?limit=0", "", "", 400, "invalid-query"},
	{"/v1/kv", "GET", "/v1/kv?prefx=a", "", "", 400, "invalid-query"},
	{"/v1/kv", "GET", "/v1/kv?prefix=a&prefix=b", "", "", 400, "invalid-query"},
	{"/v1/kv", "GET", "/v1/kv?prefix=%zz", "", "", 400, "invalid-query"},
	{"/v1/kv", "GET", "/v1/kv?cursor=AAAA", "", "", 410, "cursor-expired"},
	{"/v1/kv", "GET", "/v1/kv?cursor=AAAA&limit=3", "", "", 400, "invalid-query"},
	{"/v1/watch", "GET", "/v1/watch?from=1&wait=0", "", "", 200, ""},
	{"/v1/watch", "GET", "/v1/watch?from=999", "", "", 410, "watch-trimmed"},
	{"/v1/watch", "GET", "/v1/watch?wait=61", "", "", 400, "invalid-query"},
	{"/v1/sessions/{session}", "GET", "/v1/sessions/q", "", "", 200, ""},
	{"/v1/sessions/{session}", "GET", "/v1/sessions/other", "", "", 404, "session-unknown"},
	{"/v1/sessions/{session}", "GET", "/v1/sessions/a%2Fb", "", "", 400, "invalid-query"},
	{"/v1/status", "GET", "/v1/status", "", "", 200, ""},
	{"/livez", "GET", "/livez", "", "", 200, ""},
	{"/readyz", "GET", "/readyz?verbose", "", "", 200, ""},
	{"/readyz", "GET", "/readyz?very", "", "", 400, "invalid-query"},
	{"/openapi.yaml", "GET", "/openapi.yaml", "", "", 200, ""},
}

func TestTheDescriptionIsTrue(t *testing.T) { overStores(t, descriptionIsTrue) }

func descriptionIsTrue(t *testing.T, store edge.Store) {
	doc := contract(t)
	s := serve(t, edge.Config{Conditional: []string{"strict/"}, Store: store})
	driven := map[string]bool{}
	for i, x := range exchanges {
		t.Run(fmt.Sprintf("%d %s %s", i, x.method, x.path), func(t *testing.T) {
			var headers []string
			if x.headers != "" {
				headers = strings.Split(x.headers, "|")
			}
			if x.status == onlyQuorum {
				x.status = 422
				if store.Status().Kind == "metronome" {
					x.status, x.code = 200, ""
				}
			}
			r := s.ask(x.method, x.path, x.body, headers...).want(t, x.status, x.code)
			op := doc.Paths.Find(x.template).GetOperation(x.method)
			keeps(t, op, r)
			driven[op.OperationID] = driven[op.OperationID] || r.StatusCode < 300
			for _, h := range []string{"X-Request-Id", "X-Served-By", "X-Edge-Incarnation", "Cache-Control"} {
				if r.Header.Get(h) == "" {
					t.Errorf("no %s", h)
				}
			}
			if x.code != "" && !strings.Contains(r.body, `"request_id":"`+r.Header.Get("X-Request-Id")+`"`) {
				t.Errorf("no request_id: %s", r.body)
			}
		})
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !driven[op.OperationID] {
				t.Errorf("%s %s is described, and no request here has succeeded", method, path)
			}
		}
	}
}

// TestEveryMethodIsDescribed: what the server takes is what the description says; HEAD goes with GET.
func TestEveryMethodIsDescribed(t *testing.T) {
	s := serve(t, edge.Config{})
	for path, item := range contract(t).Paths.Map() {
		path = strings.NewReplacer("{key}", "a", "{session}", "q").Replace(path)
		described := item.Operations()
		if described["GET"] != nil && path != "/v1/watch" {
			described["HEAD"] = described["GET"]
		}
		want := strings.Join(slices.Sorted(maps.Keys(described)), ", ")
		for _, method := range []string{"PATCH", "OPTIONS", "TRACE", "NONSENSE", "POST", "PUT", "DELETE"} {
			if described[method] != nil {
				continue
			}
			r := s.ask(method, path, "").want(t, 405, "method-not-allowed")
			if got := r.Header.Get("Allow"); got != want {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, want)
			}
		}
	}
}

func TestEveryCodeIsOfItsForm(t *testing.T) {
	doc := contract(t)
	schema := doc.Components.Schemas["Problem"].Value
	seen := map[string]bool{}
	for _, c := range edge.Codes() {
		if seen[c.Code] || c.Title == "" || http.StatusText(c.Status) == "" {
			t.Errorf("%+v", c)
		}
		seen[c.Code] = true
		if (c.Status == 503 || c.Status == 500 || c.Status == 408) && !c.Retryable {
			t.Errorf("%s is %d and not retryable", c.Code, c.Status)
		}
		v := map[string]any{"type": edge.URN + c.Code, "title": c.Title, "status": float64(c.Status), "detail": "",
			"retryable": c.Retryable}
		if err := schema.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %v", c.Code, err)
		}
	}
}
