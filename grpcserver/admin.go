package grpcserver

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin is what a server shows to operators over HTTP: metrics, health, readiness and profiles. It answers before there is
// a server, while the data directory is recovered.
type Admin struct {
	server atomic.Pointer[Server]
}

// Show makes s the server that is shown.
func (a *Admin) Show(s *Server) { a.server.Store(s) }

// Serve answers on l until the returned function is called.
func (a *Admin) Serve(l net.Listener, logger *slog.Logger) (stop func()) {
	s := &http.Server{Handler: a.pages(), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Serve(l); err != nil && err != http.ErrServerClosed {
			logger.Error("metrics, health and profiles are no longer served", "error", err)
		}
	}()
	return func() {
		if err := s.Close(); err != nil {
			logger.Warn("closing the admin address", "error", err)
		}
		<-ended
	}
}

func (a *Admin) pages() http.Handler {
	mux := http.NewServeMux()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), a)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok: the process runs") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "/metrics      for Prometheus\n/healthz      200 while the process runs\n/readyz       200 while it serves; not while it recovers or stops\n/debug/pprof/ profiles")
	})
	return mux
}

func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) {
	switch s := a.server.Load(); {
	case s == nil:
		http.Error(w, "not ready: recovering the data directory", http.StatusServiceUnavailable)
	case !s.Ready():
		http.Error(w, "not ready: not leading, or stopping", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok: serving")
	}
}

// Describe implements prometheus.Collector: unchecked, since the server comes later.
func (a *Admin) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (a *Admin) Collect(out chan<- prometheus.Metric) {
	if s := a.server.Load(); s != nil {
		s.Metrics().Collect(out)
	}
}
