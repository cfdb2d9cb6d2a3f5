package main

import (
	"context"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm/grpcserver"
)

// asDLM makes the test binary behave as dlm.
const asDLM = "DLM_TEST_AS_DLM"

// binDir holds a program dlm for shells.
var binDir string

func TestMain(m *testing.M) {
	if os.Getenv(asDLM) != "" {
		args := os.Args[1:]
		if len(args) > 0 && args[0] != guardianVerb {
			args = append([]string{"--connect-timeout", "1m"}, args...) // a machine may be slow
		}
		os.Exit(run(args))
	}
	// The tests wait for leases to end more than they compute: many of them go together.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(func() int {
		var err error
		if binDir, err = os.MkdirTemp("", "dlm-test-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(binDir)
		program := "#!/bin/sh\n" + asDLM + "=1 exec '" + os.Args[0] + "' \"$@\"\n"
		if err := os.WriteFile(filepath.Join(binDir, "dlm"), []byte(program), 0o700); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// environment is what a process gets: nothing of DLM but the server.
func environment(addr string, more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DLM_") })
	return append(env, append([]string{"DLM_SERVER=" + addr, "PATH=" + binDir + ":" + os.Getenv("PATH")}, more...)...)
}

// shell runs a script in a directory and returns what it printed to both streams.
func shell(t *testing.T, addr, dir, script string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, environment(addr), 3*time.Second
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// startServer serves until the test ends, or stop is called.
func startServer(t *testing.T) (addr string, stop func()) {
	t.Helper()
	return startServerOn(t, t.TempDir())
}

// startServerOn has its storage in a directory; every 64 KiB of log make a snapshot.
func startServerOn(t *testing.T, dir string) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := grpcserver.Open(grpcserver.Options{Listener: ln, Dir: dir, SegmentBytes: 1 << 20, SnapshotBytes: 64 << 10, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			srv.Stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// process is a dlm that runs.
type process struct {
	*exec.Cmd
	t   *testing.T
	out output
}

// output is written by a process and read by the test.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (p *process) text() string { return p.out.String() }

func start(t *testing.T, addr string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), t: t}
	p.Env = environment(addr, asDLM+"=1")
	p.Stdout, p.Stderr = &p.out, &p.out
	p.WaitDelay = 3 * time.Second // what is left behind and has the pipe open
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// end waits and checks the exit code and a part of the output.
func (p *process) end(code int, says string) {
	p.t.Helper()
	_ = p.Wait()
	if got := p.ProcessState.ExitCode(); got != code || !strings.Contains(p.out.String(), says) {
		p.t.Errorf("dlm %q: exit code %d, want %d and %q in:\n%s", p.Args[1:], got, code, says, p.out.String())
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

func exists(name string) func() bool {
	return func() bool { _, err := os.Stat(name); return err == nil }
}
