package page

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"

	"metronome/system/master/api"
)

//go:embed page.html style.css
var files embed.FS

// reload is after how many seconds the page loads itself again.
const reload = 5

// Page is the handler.
type Page struct {
	status func() api.Status
	pages  *template.Template
	style  []byte
	mux    *http.ServeMux
	reload int // seconds
}

// New makes a page of what status returns.
func New(status func() api.Status) *Page {
	style, err := files.ReadFile("style.css")
	if err != nil {
		panic(err) // it is part of the binary
	}
	p := &Page{status: status, style: style, mux: http.NewServeMux(), reload: reload,
		pages: template.Must(template.New("page.html").Funcs(words).ParseFS(files, "page.html"))}
	p.mux.HandleFunc("GET /{$}", p.home)
	p.mux.HandleFunc("GET /edges/{edge}", p.edge)
	p.mux.HandleFunc("GET /style.css", p.css)
	p.mux.HandleFunc("GET /status.json", p.json)
	return p
}

// ServeHTTP serves the page.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "+
		"form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	p.mux.ServeHTTP(w, r)
}

// view is what the templates see.
type view struct {
	api.Status
	Reload int
	Edge   *api.Edge // of the page about one
	Title  string
}

func (p *Page) home(w http.ResponseWriter, _ *http.Request) {
	s := p.status()
	slices.SortStableFunc(s.Edges, func(a, b api.Edge) int { return rank(a.Level) - rank(b.Level) })
	p.show(w, http.StatusOK, "home", view{Status: s, Title: s.Home})
}

// rank puts first what somebody must look at.
func rank(l api.Level) int { return slices.Index([]api.Level{api.Bad, api.Warn, api.Good}, l) }

func (p *Page) edge(w http.ResponseWriter, r *http.Request) {
	v := view{Status: p.status(), Title: r.PathValue("edge")}
	for i := range v.Edges {
		if v.Edges[i].Name == v.Title {
			v.Edge = &v.Edges[i]
			p.show(w, http.StatusOK, "edge", v)
			return
		}
	}
	p.show(w, http.StatusNotFound, "nothing", v)
}

func (p *Page) show(w http.ResponseWriter, status int, name string, v view) {
	v.Reload = p.reload
	var b bytes.Buffer
	if err := p.pages.ExecuteTemplate(&b, name, v); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser is gone if this fails
}

func (p *Page) css(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=60")
	_, _ = w.Write(p.style)
}

func (p *Page) json(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(p.status())
}
