package goals

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm/internal/rig"
)

// TestMain lets the test binary be the process that a goal starts from its own program.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(childMain())
	}
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

var all = []Goal{Loss, Duplicates, Timeout, Fencing, Crash}

var (
	builtIn string
	// built makes the programs, as `make build` does, once.
	built = sync.OnceValue(func() (err error) {
		if builtIn, err = os.MkdirTemp("", "dlm-goals-"); err != nil {
			return err
		}
		cmd := exec.Command("go", "build", "-o", builtIn, "dlm/cmd/...")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd, err, out)
		}
		return nil
	})
)

func build(t *testing.T) (dir string) {
	t.Helper()
	if err := built(); err != nil {
		t.Fatal(err)
	}
	return builtIn
}

func serve(t *testing.T, bin string) (addr string) {
	t.Helper()
	s, err := rig.StartServer(filepath.Join(bin, "server"), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at, err := s.Ready(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return at.Address
}

// The programs as users run them, one after the other against one server. The default timeout of 30 s, which is mostly
// waiting, is shown beside them.
func TestGoals(t *testing.T) {
	bin := build(t)
	addr := serve(t, bin)
	t.Run("programs", func(t *testing.T) {
		t.Run("3 with the default timeout", func(t *testing.T) {
			t.Parallel()
			program(t, filepath.Join(bin, "test_goal3"), "--default", addr)
		})
		t.Run("each", func(t *testing.T) {
			t.Parallel()
			for _, g := range all {
				t.Run(fmt.Sprint(g.number), func(t *testing.T) {
					program(t, filepath.Join(bin, fmt.Sprintf("test_goal%d", g.number)), addr)
				})
			}
		})
	})
}

func program(t *testing.T, path string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.HasSuffix(string(out), "\nPASS\n") {
		t.Errorf("%v; the last line must be PASS", err)
	}
}

// Injectors that do nothing must make each scenario of each goal fail for exactly that.
func TestNothingInjected(t *testing.T) {
	bin := build(t)
	addr := serve(t, bin)
	for _, g := range all {
		t.Run(fmt.Sprint(g.number), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			e := &env{addr: addr, calm: true, stdout: &out, options: options{server: filepath.Join(bin, "server")}}
			if err := g.execute(t.Context(), e); err == nil {
				t.Errorf("it passes:\n%s", out.String())
			}
			text := out.String()
			failed := strings.Count(text, "\n   failed:")
			passed := strings.Count(text, "\n   ok")
			checks := 0
			if g.number == Crash.number {
				checks = 1 // the last look at the address that was given
			}
			if n := strings.Count(text, "failed:  "+rig.ErrNothingInjected.Error()); n == 0 || n != failed || passed != checks {
				t.Errorf("each scenario must fail for that:\n%s", text)
			}
			if !strings.Contains(text, "\nFAIL: ") || strings.Contains(text, "PASS") {
				t.Errorf("the verdict must be FAIL:\n%s", text)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"localhost"}, {"localhost:"}, {":50051"}, {"localhost:0"}, {"localhost:x"}, {"a:1", "b:2"}, {"--nonsense", "a:1"}} {
		for _, g := range all {
			var out, errs bytes.Buffer
			if code := g.command(t.Context(), args, &out, &errs); code != exitUsage || out.Len() > 0 || !strings.Contains(errs.String(), "--help") {
				t.Errorf("test_goal%d %q: exit code %d, %q, %q", g.number, args, code, &out, &errs)
			}
		}
	}
	for _, server := range []string{"/nonexistent", "/dev/null", t.TempDir()} {
		var out, errs bytes.Buffer
		if code := Crash.command(t.Context(), []string{"--server", server, "localhost:50051"}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "--server") {
			t.Errorf("--server %s: exit code %d, %q, %q", server, code, &out, &errs)
		}
	}
	var out, errs bytes.Buffer
	if code := Timeout.command(t.Context(), []string{"--help"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "-default") {
		t.Errorf("--help: exit code %d, %q, %q", code, &out, &errs)
	}
}

// Without a server a program says so and fails.
func TestNobodyThere(t *testing.T) {
	var out, errs bytes.Buffer
	p, err := rig.NewProxy("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Refuse(true)
	if code := Loss.command(t.Context(), []string{p.Addr()}, &out, &errs); code != exitFailed || !strings.Contains(out.String(), "\nFAIL: no server answers at "+p.Addr()) {
		t.Errorf("exit code %d:\n%s%s", code, &out, &errs)
	}
}
