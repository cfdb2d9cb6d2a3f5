package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// workshop builds and runs test binaries. The sources are changed by an overlay in a temporary directory: the work tree is
// read and never written.
type workshop struct {
	goTool string
	root   string // of the module
	dir    string // temporary
	seeds  string // A-B
	limit  time.Duration
}

// overlay writes the changed files of a mutant and the map that `go build -overlay` wants; nil: no change.
func (w *workshop) overlay(m *mutant, dir string) (string, error) {
	replace := map[string]string{}
	if m != nil {
		for i, file := range m.files() {
			path := filepath.Join(w.root, file)
			b, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("does not apply: %w", err)
			}
			text, err := m.apply(file, string(b))
			if err != nil {
				return "", err
			}
			changed := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(file)))
			if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
				return "", err
			}
			replace[path] = changed
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o644)
}

// build makes the test binary of a package as the mutant changes it; nil: as it is.
func (w *workshop) build(ctx context.Context, m *mutant, pkg string) (string, error) {
	dir, err := os.MkdirTemp(w.dir, "")
	if err != nil {
		return "", err
	}
	overlay, err := w.overlay(m, dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "test")
	cmd := exec.CommandContext(ctx, w.goTool, "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, pkg)
	cmd.Dir = w.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return binary, nil
}

// run runs a test binary in its package's directory, as `go test` would.
func (w *workshop) run(ctx context.Context, binary, pkg string, args ...string) (out string, passed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(w.root, pkg)
	cmd.WaitDelay = 5 * time.Second
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return b.String(), false, fmt.Errorf("does not end within %v", w.limit)
	case errors.As(err, &exit):
		return b.String(), false, nil
	}
	return b.String(), err == nil, err
}

// death is how the simulator noticed a mutant: package sim's runMutant prints one for each seed that fails.
type death struct {
	Seed   uint64
	Number string
	Text   string
}

// simulate runs the seeds until the first one fails, or all of them.
func (w *workshop) simulate(ctx context.Context, binary string, all bool) ([]death, error) {
	mode := "first"
	if all {
		mode = "all"
	}
	out, passed, err := w.run(ctx, binary, "./sim", "-seeds="+w.seeds, "-mutant="+mode)
	if err != nil {
		return nil, err
	}
	var deaths []death
	ended := false
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "mutant: "); ok {
			var d death
			if err := json.Unmarshal([]byte(rest), &d); err != nil {
				return nil, fmt.Errorf("runMutant printed %q: %w", line, err)
			}
			deaths = append(deaths, d)
		}
		ended = ended || strings.HasPrefix(line, "mutant ended")
	}
	switch {
	case !ended:
		return nil, fmt.Errorf("the simulator's process broke off:\n%s", tail(out, 20))
	case passed != (len(deaths) == 0):
		return nil, fmt.Errorf("the simulator says one thing and its exit code another:\n%s", tail(out, 20))
	}
	return deaths, nil
}

// try runs a self-test.
func (w *workshop) try(ctx context.Context, binary string, t *selfTest) (out string, passed bool, err error) {
	args := []string{"-test.run=^" + t.name + "$", "-test.timeout=0", "-test.v"}
	if t.pkg == "./sim" {
		args = append(args, "-seeds="+w.seeds)
	}
	out, passed, err = w.run(ctx, binary, t.pkg, args...)
	if err == nil && !strings.Contains(out, "=== RUN   "+t.name+"\n") {
		return out, passed, fmt.Errorf("%s has no %s", t.pkg, t.name)
	}
	return out, passed, err
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
