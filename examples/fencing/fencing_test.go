package fencing

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"dlm/client"
	"dlm/grpcserver"
)

// tokens are what two holders of one lock were given, one after the other, by a real server.
func tokens(t *testing.T) (older, newer uint64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := grpcserver.Open(grpcserver.Options{Dir: t.TempDir(), Listener: l, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve() }()
	defer s.Stop()
	c, err := client.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, token := range []*uint64{&older, &newer} {
		session, err := c.OpenSession(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lock, err := session.Lock(t.Context(), "resource")
		if err != nil {
			t.Fatal(err)
		}
		*token = lock.Token()
		if err := lock.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return older, newer
}

// resource is something of yours that can be written under a token and read.
type resource struct {
	write func(token uint64, what string) error
	read  func() string
}

func resources(t *testing.T) map[string]resource {
	return map[string]resource{"sql": inSQL(t), "http": overHTTP(t), "object store": inBucket(t), "file": inFile(t)}
}

// The story of every resource: the newer holder was there, the older comes back, and is refused.
func TestStaleTokensAreRefused(t *testing.T) {
	older, newer := tokens(t)
	if older >= newer {
		t.Fatalf("tokens %d, then %d", older, newer)
	}
	for name, r := range resources(t) {
		t.Run(name, func(t *testing.T) {
			for _, step := range []struct {
				token uint64
				what  string
				fine  bool
			}{
				{older, "100", true}, {older, "101", true}, {newer, "200", true}, {older, "102", false}, {newer, "201", true},
			} {
				err := r.write(step.token, step.what)
				var stale *StaleError
				if step.fine && err != nil || !step.fine && !errors.As(err, &stale) {
					t.Errorf("writing %s under %d: %v", step.what, step.token, err)
				}
			}
			if got := r.read(); got != "201" {
				t.Errorf("it holds %q", got)
			}
		})
	}
}

// Many writers at once: what remains was written under the highest token.
func TestTheHighestTokenRemains(t *testing.T) {
	for name, r := range resources(t) {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for token := uint64(1); token <= 20; token++ {
				all.Go(func() {
					var stale *StaleError
					if err := r.write(token, strconv.FormatUint(token, 10)); err != nil && !errors.As(err, &stale) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if got := r.read(); got != "20" {
				t.Errorf("it holds %q", got)
			}
		})
	}
}

func inSQL(t *testing.T) resource {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "db")+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, q := range []string{Schema, `INSERT INTO account (id, balance) VALUES (1, 0)`} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return resource{
		write: func(token uint64, what string) error {
			n, err := strconv.ParseInt(what, 10, 64)
			if err != nil {
				return err
			}
			return SetBalance(context.Background(), db, 1, n, token)
		},
		read: func() (what string) {
			if err := db.QueryRow(`SELECT balance FROM account WHERE id = 1`).Scan(&what); err != nil {
				t.Error(err)
			}
			return what
		},
	}
}

func overHTTP(t *testing.T) resource {
	var holds string
	s := httptest.NewServer(&Guard{Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { holds = r.URL.Query().Get("value") })})
	t.Cleanup(s.Close)
	if r, err := http.Post(s.URL, "", nil); err != nil || r.StatusCode != http.StatusBadRequest {
		t.Errorf("without a token: %v, %v", r, err)
	}
	return resource{
		write: func(token uint64, what string) error {
			r, err := http.NewRequest(http.MethodPost, s.URL+"?value="+what, strings.NewReader(""))
			if err != nil {
				return err
			}
			r.Header.Set(Header, strconv.FormatUint(token, 10))
			got, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			defer got.Body.Close()
			if got.StatusCode == http.StatusPreconditionFailed {
				return &StaleError{Token: token}
			}
			return nil
		},
		read: func() string { return holds },
	}
}

// memory is a Bucket with one object. Its writers meet between Head and Put.
type memory struct {
	mu       sync.Mutex
	version  int
	metadata map[string]string
	data     []byte
}

func (m *memory) etag() string {
	if m.version == 0 {
		return ""
	}
	return strconv.Itoa(m.version)
}

func (m *memory) Head(context.Context, string) (map[string]string, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer time.Sleep(time.Millisecond)
	return m.metadata, m.etag(), nil
}

func (m *memory) Put(_ context.Context, _, etag string, metadata map[string]string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if etag != m.etag() {
		return ErrChanged
	}
	m.version++
	m.metadata, m.data = metadata, data
	return nil
}

func inBucket(*testing.T) resource {
	m := &memory{}
	return resource{
		write: func(token uint64, what string) error {
			return PutFenced(context.Background(), m, "key", token, []byte(what))
		},
		read: func() string { return string(m.data) },
	}
}

func inFile(t *testing.T) resource {
	path := filepath.Join(t.TempDir(), "file")
	return resource{
		write: func(token uint64, what string) error { return WriteFile(path, token, []byte(what)) },
		read: func() string {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			return string(b)
		},
	}
}
