package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dlm/client"
)

func TestNotAcquired(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	ready := filepath.Join(t.TempDir(), "ready")
	holder := start(t, addr, "lock", "a", "--value", "the holder", "--", "sh", "-c", "touch "+ready+"; sleep 300")
	waitFor(t, "the holder", exists(ready))
	start(t, addr, "lock", "a", "--try", "--", "true").end(exitNotAcquired, "not free")
	start(t, addr, "lock", "a", "--wait", "100ms", "--", "true").end(exitNotAcquired, "the wait timeout passed\nIt is held by")
	start(t, addr, "locks").end(0, "the holder")
	waiter := start(t, addr, "lock", "a", "--", "true")
	waitFor(t, "the waiter", func() bool {
		p := start(t, addr, "locks")
		p.end(0, "")
		return strings.Contains(p.text(), "waiting")
	})
	_ = waiter.Process.Signal(syscall.SIGTERM)
	waiter.end(exitSignal+15, "terminated")
	_ = holder.Process.Signal(syscall.SIGTERM)
	holder.end(exitSignal+15, "")
	start(t, addr, "lock", "a", "--try", "--", "true").end(0, "")
}

func TestSignalsReachTheGroup(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	addr, _ := startServer(t)
	began := time.Now()
	start(t, addr, "lock", "a", "--", "sh", "-c", "sleep 600 & exit 4").end(4, "left 1 process behind")
	if d := time.Since(began); d > time.Minute {
		t.Errorf("took %v", d)
	}
}

// stubborn is a command that ignores TERM and has a child that does too. Both write to their files again and again, without
// making processes for it, and so say when they were last alive.
type stubborn struct {
	t   *testing.T
	dir string
}

func newStubborn(t *testing.T) stubborn { return stubborn{t, t.TempDir()} }

func (s stubborn) command() []string {
	loop := func(name string) string {
		return "while :; do echo >>" + s.dir + "/" + name + "; read -t 0.02 -u 3; done"
	}
	return []string{"--", "bash", "-c", "exec 3<> <(:); trap '' TERM; echo $$ >" + s.dir + "/pid; (" + loop("child") + ") & " + loop("parent")}
}

func (s stubborn) wait() {
	s.t.Helper()
	waitFor(s.t, "the command", func() bool { return exists(s.dir+"/child")() && exists(s.dir+"/parent")() })
}

// group is the process group of the command; its leader is the guardian.
func (s stubborn) group() int {
	s.t.Helper()
	text, err := os.ReadFile(s.dir + "/pid")
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		s.t.Fatal(err)
	}
	_, group, _, ok := stat(pid)
	if !ok {
		s.t.Fatalf("process %d is not there", pid)
	}
	return group
}

// lastSign is when the command or its child was last alive.
func (s stubborn) lastSign() time.Time {
	s.t.Helper()
	var last time.Time
	for _, name := range []string{"parent", "child"} {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// stalls measures how late this machine wakes a process, at worst: nobody can be ended more punctually.
func stalls(t *testing.T) (worst func() time.Duration) {
	var most atomic.Int64
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for before := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			now := time.Now()
			most.Store(max(most.Load(), int64(now.Sub(before)-2*time.Millisecond)))
			before = now
		}
	}()
	return func() time.Duration { return time.Duration(most.Load()) }
}

// wire is a connection to the server that can be cut: what is sent is lost, and nobody is told.
type wire struct {
	addr string
	cut  atomic.Bool
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	w := &wire{addr: ln.Addr().String()}
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			go w.pass(in, out)
			go w.pass(out, in)
		}
	}()
	return w
}

func (w *wire) pass(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if w.cut.Load() {
			if err != nil {
				return
			}
			continue
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}

// The command and its children are gone before anybody else gets the lock, whatever happens to dlm.
func TestCommandEndsBeforeTheNextHolder(t *testing.T) {
	t.Parallel()
	const ttl = 8 * time.Second
	limited := []string{"--ttl", "1m", "--hold-limit", "4s"}
	killGuardian := func(x *death) { _ = syscall.Kill(x.group(), syscall.SIGKILL) }
	for _, c := range []struct {
		name string
		args []string
		do   func(x *death)
		code int
		says string
	}{
		{"dlm killed", nil, func(x *death) { x.signal(syscall.SIGKILL) }, -1, "dlm is gone"},
		{"dlm stopped", nil, func(x *death) { x.signal(syscall.SIGSTOP) }, exitLost, "stopped?"},
		{"network cut", nil, func(x *death) { x.wire.cut.Store(true) }, exitLost, "about to end"},
		{"network cut, dlm stopped", nil, func(x *death) { x.wire.cut.Store(true); x.signal(syscall.SIGSTOP) }, exitLost, "stopped?"},
		{"network cut, then killed", nil, func(x *death) { x.wire.cut.Store(true); time.Sleep(ttl / 4); x.signal(syscall.SIGKILL) }, -1, "dlm is gone"},
		{"network cut, command stopped", nil, func(x *death) { x.wire.cut.Store(true); _ = syscall.Kill(-x.group(), syscall.SIGSTOP) }, exitLost, "about to end"},
		{"network cut, guardian killed", nil, func(x *death) { x.wire.cut.Store(true); killGuardian(x) }, exitLost, "guardian process is gone"},
		{"hold limit", limited, func(*death) {}, exitLost, "hold limit"},
		{"hold limit, guardian killed", limited, killGuardian, exitLost, "guardian process is gone"},
		{"revoked", nil, func(x *death) { x.operator("a", "--why", "maintenance") }, exitLost, "an operator revoked it: maintenance"},
		{"session revoked", nil, func(x *death) { x.operator("--session", x.session(), "--why", "maintenance") }, exitLost, "an operator revoked it: maintenance"},
		{"revoked, dlm stopped", nil, func(x *death) { x.signal(syscall.SIGSTOP); x.operator("a") }, exitLost, "stopped?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for left := deathTries - 1; ; left-- {
				x := newDeath(t, append([]string{"lock", "a", "--ttl", ttl.String()}, c.args...)...)
				if x.runs() {
					c.do(x)
					x.next()
				}
				if x.ended(c.code, c.says) {
					return
				}
				if left == 0 {
					x.p.end(c.code, c.says)
					return
				}
				t.Logf("ended in another way, once more: this machine wakes a process up to %v late\n%s", x.worst(), x.p.text())
			}
		})
	}
}

// deathTries is how often a command may end in another way than it should: a machine that stands still while dlm should end
// it has the guardian do that, or the lease end before. Never may it end too late.
const deathTries = 4

// death is a command under a lock that something happens to.
type death struct {
	stubborn
	addr  string
	wire  *wire
	p     *process
	worst func() time.Duration
}

func newDeath(t *testing.T, args ...string) *death {
	t.Helper()
	addr, _ := startServer(t)
	x := &death{stubborn: newStubborn(t), addr: addr, wire: newWire(t, addr), worst: stalls(t)}
	x.p = start(t, x.wire.addr, append(args, x.command()...)...)
	return x
}

// runs waits for the command. It may never run: a machine that is slow enough lets the lease end before.
func (x *death) runs() bool {
	x.t.Helper()
	runs := func() bool { return exists(x.dir+"/child")() && exists(x.dir+"/parent")() }
	waitFor(x.t, "the command", func() bool {
		state, _, _, _ := stat(x.p.Process.Pid)
		return runs() || state == "Z"
	})
	return runs()
}

// next has somebody else get the lock, beside whom nothing of the command may run.
func (x *death) next() {
	x.t.Helper()
	next := filepath.Join(x.t.TempDir(), "next")
	start(x.t, x.addr, "lock", "a", "--", "touch", next).end(0, "")
	info, err := os.Stat(next)
	if err != nil {
		x.t.Fatal(err)
	}
	time.Sleep(200*time.Millisecond + 2*x.worst())
	if beside := x.lastSign().Sub(info.ModTime()); beside >= x.worst() {
		x.t.Errorf("the command ran %v beside the next holder (the machine wakes a process up to %v late)", beside, x.worst())
	}
}

// ended waits for dlm, and says whether it ended as it should.
func (x *death) ended(code int, says string) bool {
	x.signal(syscall.SIGCONT)
	_ = x.p.Wait()
	return x.p.ProcessState.ExitCode() == code && strings.Contains(x.p.text(), says)
}

func (x *death) signal(sig syscall.Signal) { _ = x.p.Process.Signal(sig) }

func (x *death) operator(args ...string) {
	x.t.Helper()
	start(x.t, x.addr, append([]string{"revoke"}, args...)...).end(0, "revoked")
}

// session that holds the lock of the command.
func (x *death) session() string {
	x.t.Helper()
	c, err := client.Dial(x.addr)
	if err != nil {
		x.t.Fatal(err)
	}
	defer c.Close()
	return fmt.Sprint(holderOf(x.t, c, "a"))
}

// Without a server the command runs on until the lease nears its end, and no longer.
func TestServerGone(t *testing.T) {
	t.Parallel()
	const ttl = 8 * time.Second
	for left := deathTries - 1; ; left-- {
		worst := stalls(t)
		addr, stop := startServer(t)
		s := newStubborn(t)
		p := start(t, addr, append([]string{"lock", "a", "--ttl", ttl.String()}, s.command()...)...)
		s.wait()
		began := time.Now()
		stop()
		gone := time.Now() // it may have renewed until here
		_ = p.Wait()
		last := s.lastSign()
		if last.Sub(gone) > ttl+worst() {
			t.Errorf("the command ran for %v after the server went, with a TTL of %v", last.Sub(gone), ttl)
		}
		// The last renewal was not older than a third of the TTL, and the command is told a quarter before the end.
		if last.Sub(began) > ttl/3 && strings.Contains(p.text(), "about to end") {
			p.end(exitLost, "about to end")
			return
		}
		if left == 0 {
			t.Fatalf("the command ran for %v after the server began to go, with a TTL of %v\n%s", last.Sub(began), ttl, p.text())
		}
		t.Logf("ended in another way, once more: this machine wakes a process up to %v late\n%s", worst(), p.text())
	}
}

// holderOf is the session that holds a lock.
func holderOf(t *testing.T, c *client.Client, lock string) uint64 {
	t.Helper()
	l, err := c.GetLock(t.Context(), lock)
	if err != nil || len(l.GetHolders()) != 1 {
		t.Fatalf("who holds %s: %v, %v", lock, l, err)
	}
	return l.GetHolders()[0].GetSession()
}

// Somebody takes the session over, which is not what it is for: the command ends as soon as dlm hears of it.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	s := newStubborn(t)
	p := start(t, addr, append([]string{"lock", "a", "--ttl", "30s"}, s.command()...)...)
	s.wait()
	c, err := client.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.AttachSession(t.Context(), holderOf(t, c, "a")); err != nil {
		t.Fatal(err)
	}
	p.end(exitLost, "another process took over the session")
	last := s.lastSign()
	time.Sleep(200 * time.Millisecond)
	if s.lastSign().After(last) {
		t.Error("the command runs on")
	}
}
