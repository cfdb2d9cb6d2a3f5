package grpcserver

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	dlmv1 "dlm/api/dlm/v1"
)

// gathered is what a scrape shows: "name{label}" to value, histograms by their count.
func gathered(t *testing.T, s *Server) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(s.Metrics())
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "{" + l.GetValue() + "}"
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// lines is a log that is written by the server and read by the test.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// TestMetricsAndStory lets a lock be granted, waited for, revoked and lost, and reads it in the metrics and in the log.
func TestMetricsAndStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		s := startInMemory(t, Options{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		c, cc := s.connect()
		defer cc.Close()
		labelled := open("b", 20*time.Second)
		labelled.GetOpen().Label = "ann"
		a, b := must(t, c, open("a", time.Second)).GetSession(), must(t, c, labelled).GetSession()
		first := must(t, c, acquire(a, 1, "x", nil)).GetToken()
		got := make(chan uint64)
		go func() { got <- must(t, c, acquire(b, 1, "x", nil)).GetToken() }() // when session a has expired
		second := <-got
		must(t, c, &dlmv1.Request{
			Session: b, Instance: 1, Sequence: 2, Watermark: 2,
			Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "x", Why: "maintenance of x"}},
		})
		refused(t, c, release(b, 3, "x", second)) // which confirms
		third := must(t, c, acquire(b, 4, "x", nil)).GetToken()
		must(t, c, release(b, 5, "x", third))

		m := gathered(t, s.Server)
		for name, want := range map[string]float64{
			"dlm_grants_total{exclusive}": 3, "dlm_grants_total{shared}": 0, "dlm_wait_seconds": 1, "dlm_hold_seconds": 3,
			"dlm_holds_lost_total{session_expired}": 1, "dlm_holds_lost_total{lock_revoked}": 1, "dlm_holds_lost_total{hold_limit}": 0,
			"dlm_sessions_ended_total{session_expired}": 1, "dlm_sessions": 1, "dlm_locks": 0, "dlm_leading": 1,
			"dlm_answers_total{ok}": 7, "dlm_answers_total{lock_revoked}": 1, "dlm_last_token": float64(third),
		} {
			if m[name] != want {
				t.Errorf("%s is %v, want %v", name, m[name], want)
			}
		}
		for _, name := range []string{"dlm_batch_requests", "dlm_log_write_seconds", "dlm_log_index"} {
			if m[name] < 7 {
				t.Errorf("%s is %v, want at least 7", name, m[name])
			}
		}
		if m["dlm_recovery_seconds"] <= 0 {
			t.Error("no recovery time")
		}
		for _, want := range []string{
			fmt.Sprintf("level=DEBUG msg=granted lock=x mode=exclusive token=%d session=%d", first, a),
			fmt.Sprintf("level=DEBUG msg=waits lock=x mode=exclusive session=%d", b),
			fmt.Sprintf("level=INFO msg=lost lock=x mode=exclusive token=%d session=%d reason=session_expired", first, a),
			fmt.Sprintf("level=INFO msg=\"session ended\" session=%d reason=session_expired", a),
			fmt.Sprintf("level=WARN msg=lost audit=revoke by=ann by_session=%d lock=x mode=exclusive token=%d session=%d reason=lock_revoked why=\"maintenance of x\"", b, second, b),
			fmt.Sprintf("level=DEBUG msg=\"revoked hold is over\" lock=x mode=exclusive token=%d", second),
			fmt.Sprintf("level=DEBUG msg=released lock=x mode=exclusive token=%d session=%d", third, b),
		} {
			if n := len(log.with(want)); n != 1 {
				t.Errorf("%d lines with %s", n, want)
			}
		}
		s.stop()
		if m := gathered(t, s.Server); m["dlm_grants_total{exclusive}"] != 3 || s.Ready() {
			t.Errorf("after the end: %v, ready %v", m, s.Ready())
		}
	})
}

// What a restart applies again was counted and told before it.
func TestRecoveryIsNoNews(t *testing.T) {
	var log lines
	o := Options{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	s := start(t, o)
	c, cc := s.connect()
	defer cc.Close()
	must(t, c, acquire(must(t, c, open("a", 0)).GetSession(), 1, "x", nil))
	s.kill()
	s = start(t, o)
	defer s.stop()
	c, cc = s.connect()
	defer cc.Close()
	if _, err := c.Query(timeout(t), getLock("x")); err != nil {
		t.Fatal(err)
	}
	m := gathered(t, s.Server)
	if m["dlm_grants_total{exclusive}"] != 0 || m["dlm_locks"] != 1 || len(log.with("msg=granted")) != 1 {
		t.Errorf("%v grants, %v locks, told of:\n%s", m["dlm_grants_total{exclusive}"], m["dlm_locks"], log.with("msg=granted"))
	}
}
