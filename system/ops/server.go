package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"metronome/internal/version"
)

// Bounds of the server (I6).
const (
	maxConnections = 64
	maxScrapes     = 4 // at once; more are told to come back
	scrapeTimeout  = 10 * time.Second
	headerBytes    = 16 << 10
)

// Server shows one process to its operators.
type Server struct {
	log      *slog.Logger
	registry *prometheus.Registry
	mux      *http.ServeMux
	live     health
	ready    health
	http     http.Server
	ended    chan struct{}
}

// New makes a server that does not listen yet. It shows the process's and the Go runtime's own
// metrics, and metronome_build_info.
func New(log *slog.Logger) *Server {
	s := &Server{log: log, registry: prometheus.NewRegistry(), mux: http.NewServeMux()}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "metronome_build_info", Help: "Always 1; the label says what was built.",
		ConstLabels: prometheus.Labels{"version": version.String()},
	}, func() float64 { return 1 })
	s.registry.MustRegister(build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{log}, ErrorHandling: promhttp.ContinueOnError, Registry: s.registry,
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
	}))
	s.mux.Handle("GET /livez", &s.live)
	s.mux.Handle("GET /readyz", &s.ready)
	s.mux.HandleFunc("GET /{$}", index)
	s.http = http.Server{
		Handler: s.mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 90 * time.Second, IdleTimeout: 90 * time.Second, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

func index(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintln(w, "metronome\n\n/metrics\n/livez\n/readyz?format=json")
}

// scrapeLog is promhttp's logger.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.log.Error("metrics are incomplete", "error", fmt.Sprint(v...))
}

// Register adds metrics. It refuses a name that is there already.
func (s *Server) Register(collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := s.registry.Register(c); err != nil {
			return fmt.Errorf("ops: register metrics: %w", err)
		}
	}
	return nil
}

// Ready adds a check to /readyz: it returns why the process cannot serve now, or nothing. It is
// called from the server's goroutines and must return at once.
func (s *Server) Ready(check func() []Reason) { s.ready.add(check) }

// Live adds a check to /livez: it returns why only a restart can help, or nothing.
func (s *Server) Live(check func() []Reason) { s.live.add(check) }

// Profile serves Go's profiles under /debug/pprof. They slow the process down while they are taken.
func (s *Server) Profile() {
	s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	s.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// Handler is what the server serves.
func (s *Server) Handler() http.Handler { return s.mux }

// Listen starts serving on host:port, and returns where.
func (s *Server) Listen(addr string) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("ops: listen for operators: %w: does this process run here already?", err)
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		err := s.http.Serve(netutil.LimitListener(l, maxConnections))
		if !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the operators' server ended", "error", err)
		}
	}()
	return l.Addr(), nil
}

// Close lets requests in progress end, until ctx is done.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("ops: close: %w", err), s.http.Close())
	}
	if s.ended != nil {
		<-s.ended
	}
	return err
}
