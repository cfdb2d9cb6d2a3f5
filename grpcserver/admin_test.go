package grpcserver

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// While the data directory is recovered there is no server yet.
func TestNotReadyBeforeTheServer(t *testing.T) {
	var a Admin
	pages := httptest.NewServer(a.pages())
	defer pages.Close()
	for path, want := range map[string]int{"/readyz": http.StatusServiceUnavailable, "/metrics": 200, "/healthz": 200} {
		r, err := http.Get(pages.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Body.Close() != nil {
			t.Fatal(err)
		}
		body := string(b)
		if r.StatusCode != want || strings.Contains(body, "dlm_") || strings.Contains(body, "recovering") != (path == "/readyz") {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
}
