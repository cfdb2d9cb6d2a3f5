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
	goTool   string
	root     string // of the module
	dir      string // temporary
	from, to uint64 // seeds
	limit    time.Duration
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

// build makes the test binary of a package, or the simulator, as the mutant changes it; nil: as it is.
func (w *workshop) build(ctx context.Context, m *mutant, pkg string) (string, error) {
	dir, err := os.MkdirTemp(w.dir, "")
	if err != nil {
		return "", err
	}
	overlay, err := w.overlay(m, dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "program")
	args := []string{"test", "-c", "-vet=off"}
	if pkg == simulator {
		args = []string{"build", "-buildvcs=false"}
	}
	args = append(args, "-ldflags=-s -w", "-overlay", overlay, "-o", binary, pkg)
	cmd := exec.CommandContext(ctx, w.goTool, args...)
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

// simulator is the program that runs seeds: package sim/run makes one that is started with serve in its environment read
// seeds from its input, and write what came of each as a line of JSON.
const (
	simulator = "./sim/soak"
	serve     = "DLM_SIM_SERVE=1"
)

// death is how the simulator noticed a mutant.
type death struct {
	Seed    uint64
	Failure *struct{ Number, Text string }
}

// simulate runs the seeds until the first one fails, or all of them.
func (w *workshop) simulate(ctx context.Context, binary string, all bool) ([]death, error) {
	ctx, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Dir = w.root
	cmd.Env = append(os.Environ(), serve)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = in.Close()
		cancel()
		_ = cmd.Wait()
	}()
	var deaths []death
	results := json.NewDecoder(out)
	for seed := w.from; seed <= w.to; seed++ {
		d := death{}
		_, err := fmt.Fprintln(in, seed)
		if err == nil {
			err = results.Decode(&d)
		}
		switch {
		case ctx.Err() != nil:
			return deaths, fmt.Errorf("seed %d does not end: %w", seed, ctx.Err())
		case err != nil:
			return deaths, fmt.Errorf("seed %d: the simulator's process gives no result: %w\n%s", seed, err, tail(said.String(), 20))
		case d.Seed != seed:
			return deaths, fmt.Errorf("asked for seed %d, got a result of seed %d", seed, d.Seed)
		case d.Failure == nil:
			continue
		}
		if deaths = append(deaths, d); !all {
			break
		}
	}
	return deaths, nil
}

// try runs a self-test.
func (w *workshop) try(ctx context.Context, binary string, t *selfTest) (out string, passed bool, err error) {
	args := []string{"-test.run=^" + t.name + "$", "-test.timeout=0", "-test.v"}
	if t.pkg == "./sim" {
		args = append(args, fmt.Sprintf("-seeds=%d-%d", w.from, w.to), "-minimise=0")
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
