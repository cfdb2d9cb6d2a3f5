package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buffer is written by a server and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// waitFor returns when the text was written.
func (b *buffer) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(b.String(), text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q does not come in:\n%s", text, b.String())
		}
	}
}

// command runs a command line to its end.
func command(vars map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // should it serve by mistake, it ends
	return run(ctx, args, vars, &out, &err), out.String(), err.String()
}

func TestUsageErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		name string
		vars map[string]string
		args []string
		says string
	}{
		{"typo", nil, []string{"--lock-timout", "3s"}, "unknown flag: --lock-timout"},
		{"argument", nil, []string{"start"}, `unexpected argument "start"`},
		{"no value", nil, []string{"--data"}, "flag needs an argument: --data"},
		{"empty directory", nil, []string{"--data", ""}, "a data directory is needed"},
		{"no duration", nil, []string{"--lock-timeout", "30"}, `invalid argument "30" for "--lock-timeout"`},
		{"negative", nil, []string{"--lock-timeout", "-3s"}, "must not be negative"},
		{"no time", nil, []string{"--lock-timeout", "0s"}, "must be positive"},
		{"size zero", nil, []string{"--snapshot-bytes", "0"}, "must be positive"},
		{"too short", nil, []string{"--lock-timeout", "1ms"}, "server: --lock-timeout: default-ttl is 1ms, outside min-ttl 500ms to max-ttl 24h0m0s"},
		{"format", nil, []string{"--log-format", "xml"}, "must be text or json"},
		{"level", nil, []string{"--log-level", "loud"}, "must be debug, info, warn or error"},
		{"size", nil, []string{"--snapshot-bytes", "many"}, "must be a number of bytes"},
		{"size overflows", nil, []string{"--snapshot-bytes", "99999999999GiB"}, "must be a number of bytes"},
		{"size too small", nil, []string{"--snapshot-bytes", "1KiB"}, "server: --snapshot-bytes must be at least 4096, got 1024"},
		{"reserve too small", nil, []string{"--disk-reserve", "1MiB"}, "server: --disk-reserve must be at least 67108864, got 1048576"},
		{"no port", nil, []string{"--listen", "localhost"}, "must be HOST:PORT"},
		{"bad port", nil, []string{"--listen", "localhost:high"}, "from 0 to 65535"},
		{"admin without a port", nil, []string{"--admin", "localhost"}, "--admin must be HOST:PORT"},
		{"variable", map[string]string{"DLM_SERVER_LOCK_TIMEOUT": "soon"}, nil, "variable DLM_SERVER_LOCK_TIMEOUT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--data", dir}, c.args...)
			code, stdout, stderr := command(c.vars, args...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "--help") {
				t.Errorf("exit code %d, stdout %q, stderr:\n%s", code, stdout, stderr)
			}
		})
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a wrong command line has touched the data directory: %v", err)
	}
}

func TestHelpAndVersion(t *testing.T) {
	if code, out, _ := command(nil, "--version"); code != 0 || out != "server dev\n" {
		t.Errorf("--version: %d %q", code, out)
	}
	code, out, _ := command(nil, "--help")
	for _, want := range []string{"--listen", "127.0.0.1:50051", "--lock-timeout", "30s", "64MiB", `(default "text")`, "DLM_SERVER_"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help does not say %q:\n%s", want, out)
		}
	}
	if code != 0 {
		t.Errorf("--help: exit code %d", code)
	}
}

// server is a run of the command under way.
type server struct {
	t      *testing.T
	log    buffer
	cancel context.CancelFunc
	code   chan int
}

func launch(t *testing.T, vars map[string]string, args ...string) *server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{t: t, cancel: cancel, code: make(chan int, 1)}
	t.Cleanup(cancel)
	go func() { s.code <- run(ctx, args, vars, &s.log, &s.log) }()
	return s
}

func (s *server) stop() {
	s.t.Helper()
	s.cancel()
	if code := <-s.code; code != 0 {
		s.t.Errorf("exit code %d after a graceful stop:\n%s", code, s.log.String())
	}
}

func TestServes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	vars := map[string]string{
		"DLM_SERVER_DATA": dir, "DLM_SERVER_LISTEN": "127.0.0.1:0", "DLM_SERVER_LOCK_TIMEOUT": "9s",
		"DLM_SERVER_LOG_FORMAT": "text", "DLM_SERVER_HELP": "please", "DLM_SERVER_LOCK_TIMOUT": "3s",
	}
	s := launch(t, vars, "--log-format", "json")
	s.log.waitFor(t, `"serving"`)
	warning, rest, _ := strings.Cut(s.log.String(), "\n")
	if !strings.Contains(warning, `"name":"DLM_SERVER_LOCK_TIMOUT"`) || strings.Contains(rest, "DLM_SERVER") {
		t.Errorf("the misspelt variable:\n%s", s.log.String())
	}
	line, _, _ := strings.Cut(rest, "\n")
	var first struct {
		Msg, Level, Dir, Took, Address string
		Created                        bool
	}
	if err := json.Unmarshal([]byte(line), &first); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if first.Dir != dir || !first.Created || first.Took == "" || first.Level != slog.LevelInfo.String() {
		t.Errorf("the first line: %s", line)
	}

	second := launch(t, vars)
	if code := <-second.code; code != exitFailed || !strings.Contains(second.log.String(), "is held by process") {
		t.Errorf("a second server on the directory: exit code %d:\n%s", code, second.log.String())
	}
	third := launch(t, nil, "--data", t.TempDir(), "--listen", first.Address)
	if code := <-third.code; code != exitFailed || !strings.Contains(third.log.String(), "choose another address with --listen") {
		t.Errorf("a second server on the address: exit code %d:\n%s", code, third.log.String())
	}
	s.stop()

	// The default timeout is not asked for, so there is nothing to warn of.
	delete(vars, "DLM_SERVER_LOCK_TIMEOUT")
	s = launch(t, vars)
	s.log.waitFor(t, "msg=serving")
	s.stop()
	if log := s.log.String(); strings.Contains(log, "ignored=") || !strings.Contains(log, "clean=true") {
		t.Errorf("the second start:\n%s", log)
	}
	s = launch(t, vars, "--lock-timeout", "12s", "--log-level", "warn")
	s.log.waitFor(t, "ignored=12s in_force=9s")
	s.stop()
	if strings.Contains(s.log.String(), "serving") {
		t.Errorf("--log-level warn shows:\n%s", s.log.String())
	}
}

func TestListenErrors(t *testing.T) {
	_, err := listen(t.Context(), "--listen", "203.0.113.1:50051") // an address that no machine has
	if err == nil || !strings.HasPrefix(err.Error(), "cannot listen on 203.0.113.1:50051: ") {
		t.Errorf("got %v", err)
	}
	l, err := listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, ok := l.Addr().(*net.TCPAddr); !ok {
		t.Errorf("got %v", l.Addr())
	}
}
