package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// addressOf finds the address in the line that says msg.
func (s *server) addressOf(msg string) string {
	s.t.Helper()
	s.log.waitFor(s.t, msg)
	for line := range strings.Lines(s.log.String()) {
		var l struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == msg {
			return l.Address
		}
	}
	s.t.Fatalf("no line %q in:\n%s", msg, s.log.String())
	return ""
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestAdminPages(t *testing.T) {
	s := launch(t, nil, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json")
	url := "http://" + s.addressOf("serving metrics, health and profiles")
	s.log.waitFor(t, `"serving"`)
	for _, c := range []struct {
		path   string
		status int
		says   string
	}{
		{"/", 200, "/metrics"},
		{"/healthz", 200, "ok"},
		{"/readyz", 200, "ok"},
		{"/metrics", 200, "dlm_leading 1\n"},
		{"/metrics", 200, `dlm_build_info{version="dev"} 1`},
		{"/metrics", 200, "dlm_recovery_seconds "},
		{"/metrics", 200, `dlm_holds_lost_total{reason="session_expired"} 0`},
		{"/metrics", 200, "go_goroutines "},
		{"/debug/pprof/goroutine?debug=1", 200, "goroutine profile:"},
		{"/nothing", 404, "not found"},
	} {
		if status, body := get(t, url+c.path); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d, without %q:\n%s", c.path, status, c.says, body)
		}
	}
	s.stop()
	if _, err := http.Get(url); err == nil {
		t.Error("the admin pages are served after the end")
	}
}
