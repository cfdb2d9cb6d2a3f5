package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dlm/client"
	"dlm/grpcserver"
)

// asDLM makes the test binary behave as dlm.
const asDLM = "DLM_TEST_AS_DLM"

func TestMain(m *testing.M) {
	if os.Getenv(asDLM) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// startServer serves until the test ends, or stop is called.
func startServer(t *testing.T) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := grpcserver.Open(grpcserver.Options{Listener: ln, Dir: t.TempDir(), SegmentBytes: 1 << 20, Version: "test"})
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
	out strings.Builder
}

func start(t *testing.T, addr string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), t: t}
	p.Env = append(os.Environ(), asDLM+"=1", "DLM_SERVER="+addr)
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
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain: %s", what)
}

func exists(name string) func() bool {
	return func() bool { _, err := os.Stat(name); return err == nil }
}

func TestVerbs(t *testing.T) {
	addr, _ := startServer(t)
	journal := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(journal, []byte("#!/no/such/interpreter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"lock a -- sh -c :", 0, ""},
		{"lock a -- sh -c exit${IFS}7", 7, ""},
		{"lock a -- sh -c kill${IFS}-9${IFS}$$", 137, ""},
		{"lock a -- env", 0, "DLM_LOCK=a\n"},
		{"lock a -- env", 0, "DLM_SERVER=" + addr},
		{"lock a -- no-such-command", 127, "not found"},
		{"lock a -- " + journal, 126, "permission denied"},
		{"lock a b", 2, "--"},
		{"lock", 2, "which lock"},
		{"lock a --", 2, "no command"},
		{"lock a b -- c", 2, "exactly one"},
		{"lock a --try --wait 1s -- true", 2, "--try"},
		{"lock a --ttl -1s -- true", 2, "negative"},
		{"lock a --ttl 1ms -- true", 2, "ttl"},
		{"lock a --tll 1s -- true", 2, "--tll"},
		{"lokc a -- true", 2, "lokc"},
		{"locks -o xml", 2, "table or json"},
		{"lock a --server 127.0.0.1:1 --connect-timeout 300ms -- true", 72, "127.0.0.1:1"},
		{"append a file --data xyz", 0, "3 bytes at offset 0 of file"},
		{"append a file --data 123 -o json", 0, `"offset": 3`},
		{"append b file --data 123", 1, "bound to"},
		{"cat file", 0, "xyz123"},
		{"cat nothing", 1, "nothing"},
		{"status", 0, "last token"},
		{"status -o json", 0, `"version": "test"`},
		{"locks", 0, "LOCK"},
		{"locks -o json", 0, "[]"},
		{"--version", 0, version},
		{"help lock", 0, "DLM_TOKEN"},
	} {
		start(t, addr, strings.Fields(c.args)...).end(c.code, c.says)
	}
}

func TestNotAcquired(t *testing.T) {
	addr, _ := startServer(t)
	ready := filepath.Join(t.TempDir(), "ready")
	holder := start(t, addr, "lock", "a", "--value", "the holder", "--", "sh", "-c", "touch "+ready+"; sleep 30")
	waitFor(t, "the holder", exists(ready))
	start(t, addr, "lock", "a", "--try", "--", "true").end(exitNotAcquired, "not free")
	start(t, addr, "lock", "a", "--wait", "100ms", "--", "true").end(exitNotAcquired, "wait timeout")
	start(t, addr, "locks").end(0, "the holder")
	waiter := start(t, addr, "lock", "a", "--", "true")
	time.Sleep(200 * time.Millisecond)
	_ = waiter.Process.Signal(syscall.SIGTERM)
	waiter.end(exitSignal+15, "terminated")
	_ = holder.Process.Signal(syscall.SIGTERM)
	holder.end(exitSignal+15, "")
	start(t, addr, "lock", "a", "--try", "--", "true").end(0, "")
}

func TestSignalsReachTheGroup(t *testing.T) {
	addr, _ := startServer(t)
	dir := t.TempDir()
	// The command waits for its child: dlm ends at once what a command leaves behind.
	script := `trap 'wait; exit 9' USR1; (trap 'touch ` + dir + `/child; exit' USR1; touch ` + dir + `/ready; while :; do sleep 0.02; done) & while :; do sleep 0.02; done`
	p := start(t, addr, "lock", "a", "--", "bash", "-c", script)
	waitFor(t, "the command", exists(dir+"/ready"))
	_ = p.Process.Signal(syscall.SIGUSR1)
	p.end(9, "")
	waitFor(t, "the child's trap", exists(dir+"/child"))
}

func TestLeftoversAreEnded(t *testing.T) {
	addr, _ := startServer(t)
	began := time.Now()
	start(t, addr, "lock", "a", "--", "sh", "-c", "sleep 60 & exit 4").end(4, "left 1 processes")
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// stubborn ignores TERM, forks a child that does too, and both touch their files again and again.
func stubborn(dir string) []string {
	loop := func(name string) string { return "while :; do touch " + dir + "/" + name + "; sleep 0.02; done" }
	return []string{"--", "bash", "-c", "trap '' TERM; (" + loop("child") + ") & " + loop("parent")}
}

// lastSign is when the command or its child was last alive.
func lastSign(t *testing.T, dir string) time.Time {
	t.Helper()
	var last time.Time
	for _, name := range []string{"parent", "child"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// The command and its children are gone before anybody else gets the lock, whatever happens to dlm.
func TestCommandEndsBeforeTheNextHolder(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		signal syscall.Signal
		says   string
		code   int
	}{
		{"dlm killed", nil, syscall.SIGKILL, "dlm is gone", -1},
		{"dlm stopped", nil, syscall.SIGSTOP, "stopped?", exitLost},
		{"hold limit", []string{"--hold-limit", "1s"}, 0, "hold limit", exitLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, _ := startServer(t)
			dir := t.TempDir()
			args := append([]string{"lock", "a", "--ttl", "2s"}, c.args...)
			p := start(t, addr, append(args, stubborn(dir)...)...)
			waitFor(t, "the command", func() bool { return exists(dir+"/child")() && exists(dir+"/parent")() })
			if c.signal != 0 {
				_ = p.Process.Signal(c.signal)
			}
			next := filepath.Join(t.TempDir(), "next")
			start(t, addr, "lock", "a", "--", "touch", next).end(0, "")
			info, err := os.Stat(next)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			if last := lastSign(t, dir); !last.Before(info.ModTime()) {
				t.Errorf("the command ran %v beside the next holder", last.Sub(info.ModTime()))
			}
			if c.signal == syscall.SIGSTOP {
				_ = p.Process.Signal(syscall.SIGCONT)
			}
			p.end(c.code, c.says)
		})
	}
}

func TestServerGone(t *testing.T) {
	addr, stop := startServer(t)
	dir := t.TempDir()
	p := start(t, addr, append([]string{"lock", "a", "--ttl", "2s"}, stubborn(dir)...)...)
	waitFor(t, "the command", func() bool { return exists(dir+"/child")() && exists(dir+"/parent")() })
	stop()
	gone := time.Now()
	p.end(exitLost, "about to end")
	if d := lastSign(t, dir).Sub(gone); d > 2*time.Second || d < 500*time.Millisecond {
		t.Errorf("the command ran for %v after the server went, with a TTL of 2s", d)
	}
}

// A revoke is confirmed when the command and its children are gone: the next holder waits for that.
func TestRevoked(t *testing.T) {
	addr, _ := startServer(t)
	dir := t.TempDir()
	p := start(t, addr, append([]string{"lock", "a"}, stubborn(dir)...)...)
	waitFor(t, "the command", func() bool { return exists(dir+"/child")() && exists(dir+"/parent")() })
	c, err := client.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Revoke(t.Context(), "a", client.RevokeWhy("maintenance")); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "next")
	start(t, addr, "lock", "a", "--", "touch", next).end(0, "")
	info, err := os.Stat(next)
	if err != nil {
		t.Fatal(err)
	}
	p.end(exitLost, "maintenance")
	if last := lastSign(t, dir); !last.Before(info.ModTime()) {
		t.Errorf("the command ran %v beside the next holder", last.Sub(info.ModTime()))
	}
}
