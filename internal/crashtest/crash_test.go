package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func buildServer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server")
	cmd := exec.Command("go", "build", "-o", path, "dlm/internal/crashtest/server")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return path
}

// A slice of `make crashtest`.
func TestCrash(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	if err := run(t.Context(), config{rounds: 10, clients: 64, server: buildServer(t), out: &out}); err != nil || !strings.HasSuffix(out.String(), "\nPASS\n") {
		t.Errorf("%v", err)
	}
	t.Log(out.String())
}

// With syncs that do nothing, or are done after the answer, something acknowledged must be missed within a few rounds.
func TestLiesAreNoticed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	server := buildServer(t)
	for _, lie := range []string{"never", "late"} {
		t.Run(lie, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), config{rounds: 100, clients: 64, server: server, lie: lie, out: &out}); err == nil {
				t.Error("nobody has noticed")
			}
			if !strings.Contains(out.String(), "\nFAIL: ") {
				t.Errorf("the verdict must be FAIL:\n%s", out.String())
			}
			t.Log(out.String())
		})
	}
}
