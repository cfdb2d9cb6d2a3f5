package disktest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// serverPath is the program under test, built once.
var serverPath string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "disktest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	serverPath = filepath.Join(dir, "server")
	build := exec.Command("go", "build", "-o", serverPath, "dlm/cmd/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
		return 1
	}
	return m.Run()
}

// needRoot and need skip, loudly.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting a small file system needs root")
	}
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("SKIPPED: there is no %s on this machine", program)
	}
	return path
}

// writer appends under one lock until it is told to stop, and keeps a ledger of what was acknowledged.
type writer struct {
	t      *testing.T
	ledger *rig.Ledger
	c      *client.Client
}

func newWriter(t *testing.T, ledger *rig.Ledger, address string) *writer {
	t.Helper()
	c, err := client.Dial(address, client.WithAttemptTimeout(time.Second), client.WithBackoff(2*time.Millisecond, 100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return &writer{t: t, ledger: ledger, c: c}
}

// work opens a session, takes the lock and appends, up to n times or until something fails.
func (w *writer) work(ctx context.Context, n, size int) error {
	s, err := w.c.OpenSession(ctx)
	if err != nil {
		return err
	}
	floor := w.ledger.Floor()
	l, err := s.Lock(ctx, "disk")
	if err != nil {
		return err
	}
	if err := w.ledger.Granted("disk", l.Token(), floor); err != nil {
		w.t.Error(err)
	}
	for range n {
		if err := w.append(ctx, l, size); err != nil {
			return err
		}
	}
	if err := l.Unlock(ctx); err != nil {
		return err
	}
	return s.Close(ctx)
}

func (w *writer) append(ctx context.Context, l *client.Lock, size int) error {
	e := w.ledger.Try("disk", l.Token(), "w", size)
	offset, err := l.Append(ctx, "disk", []byte(e.Line))
	if err == nil {
		e.Acked(offset)
	}
	return err
}

// check starts the server again, without faults, and compares everything that was acknowledged with what is there.
func check(t *testing.T, dir string, ledger *rig.Ledger, args ...string) rig.Tally {
	t.Helper()
	s, address := start(t, serverPath, dir, args...)
	w := newWriter(t, ledger, address)
	defer w.c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// A lock of the time before is held until its session ends; a higher token shows that nothing was forgotten.
	admin, err := w.c.OpenSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	floor := ledger.Floor()
	l, err := admin.Lock(ctx, "another")
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.Granted("another", l.Token(), floor); err != nil {
		t.Error(err)
	}
	tally, err := ledger.Check(ctx, w.c)
	if err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	return tally
}

func start(t *testing.T, program, dir string, args ...string) (*rig.Server, string) {
	t.Helper()
	s, err := rig.StartServer(program, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serving, err := s.Ready(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s, serving.Address
}

// says fails the test unless the server's log has each of the texts.
func says(t *testing.T, s *rig.Server, texts ...string) {
	t.Helper()
	log := s.Log()
	for _, text := range texts {
		if !strings.Contains(log, text) {
			t.Errorf("the server does not say %q:\n%s", text, log)
		}
	}
}
