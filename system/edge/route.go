package edge

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

type handler func(*Server, *call) error

// route is one path, or all that begin with it.
type route struct {
	name    string // in metrics
	path    string
	tree    bool // something must follow
	open    bool // no credentials needed
	methods map[string]handler
}

func get(h handler) map[string]handler {
	return map[string]handler{http.MethodGet: h, http.MethodHead: h}
}

// routes is all there is. It does without http.ServeMux, which redirects and cleans paths: a redirected
// write ends at another key.
var routes = []route{
	{name: "key", path: "/v1/kv/", tree: true, methods: map[string]handler{
		http.MethodGet: (*Server).getKey, http.MethodHead: (*Server).getKey, http.MethodPut: (*Server).putKey,
		http.MethodDelete: (*Server).deleteKey,
	}},
	{name: "list", path: "/v1/kv", methods: get((*Server).list)},
	{name: "batch", path: "/v1/batch", methods: map[string]handler{http.MethodPost: (*Server).batch}},
	{name: "watch", path: "/v1/watch", methods: map[string]handler{http.MethodGet: (*Server).watch}},
	{name: "session", path: "/v1/sessions/", tree: true, methods: get((*Server).session)},
	{name: "status", path: "/v1/status", methods: get((*Server).status)},
	{name: "livez", path: "/livez", open: true, methods: get((*Server).livez)},
	{name: "readyz", path: "/readyz", open: true, methods: get((*Server).readyz)},
	{name: "openapi", path: "/openapi.yaml", open: true, methods: get((*Server).openAPI)},
}

// find returns the route of an escaped path, or nil.
func (s *Server) find(path string) *route {
	for i := range routes {
		r := &routes[i]
		if path == r.path || r.tree && strings.HasPrefix(path, r.path) {
			return r
		}
	}
	return nil
}

func (r *route) refuse(method string) *Problem {
	allowed := strings.Join(slices.Sorted(maps.Keys(r.methods)), ", ")
	p := NewProblem("method-not-allowed", method+" means nothing here; "+allowed+" do.")
	p.Header = http.Header{"Allow": {allowed}}
	return p
}
