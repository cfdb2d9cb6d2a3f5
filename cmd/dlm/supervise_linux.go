package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dlm/client"
)

var (
	errGuardian   = errors.New("the guardian ended the command")
	errLimitClose = errors.New("the hold limit was about to pass")
	errTooClose   = errors.New("the lease was about to end")
)

// lookPath finds the command as a shell does.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil, errors.Is(err, exec.ErrDot):
		return path, nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", &exitError{exitNotFound, err}
	}
	return "", &exitError{exitCannotRun, err}
}

// passedOn are the signals that go to the command's group.
var passedOn = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM,
	unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT,
}

// lostGrace is how long the command has between TERM and KILL when the lock is lost without notice (revoked).
const lostGrace = 2 * time.Second

// leftoverGrace is how long processes that the command left behind have between TERM and KILL.
const leftoverGrace = 2 * time.Second

// job is a command that runs under a lock.
type job struct {
	l     *client.Lock
	span  time.Duration // a full lease: TTL or hold limit
	hurry time.Duration // the latest time for KILL once the lock is lost; 0 = it is not
	guard *guardian
	tty   *terminal
	child int
	// signals that dlm gets.
	signals <-chan os.Signal
	end     time.Duration // last known end of the lease
	// lost is why the command is being ended; nil while all is well.
	lost   error
	killed bool
	warned bool
	code   int
}

// supervise runs the command and returns its exit code and, if it had to be ended, why.
func supervise(signals <-chan os.Signal, l *client.Lock, holdLimit time.Duration, path string, argv, env []string) (code int, lost, err error) {
	end, held := l.LeaseEnd()
	if !held {
		return 0, l.Err(), nil
	}
	j := &job{signals: signals, l: l, span: l.Session().TTL(), end: end}
	if holdLimit > 0 {
		j.span = min(j.span, holdLimit)
	}
	if j.guard, err = startGuardian(j.guardianDue()); err != nil {
		return 0, nil, err
	}
	j.tty = openTerminal(j.guard.group())
	defer j.tty.close()
	err = j.run(path, argv, env)
	j.tty.reclaim()
	if j.guard.dismiss() && j.lost == nil {
		j.lost = errGuardian
	}
	return j.code, j.lost, err
}

// due is when the command must be told and when it must be gone, by the last known lease.
func (j *job) due() record {
	r := record{
		term: max(j.end-min(j.span/4, 10*time.Second), 1),
		kill: max(j.end-min(j.span/20, 2*time.Second), 1),
	}
	if j.hurry > 0 {
		r.kill = min(r.kill, j.hurry)
	}
	return r
}

// guardianDue is a little later: the guardian is for when we are not there.
func (j *job) guardianDue() record {
	due, slack := j.due(), min(j.span/50, 200*time.Millisecond)
	return record{due.term + slack, due.kill + slack}
}

func (j *job) run(path string, argv, env []string) error {
	j.tty.hand()
	p, err := os.StartProcess(path, argv, &os.ProcAttr{
		Env:   env,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pgid: j.guard.group()},
	})
	if err != nil {
		code := exitCannotRun
		if errors.Is(err, fs.ErrNotExist) {
			code = exitNotFound
		}
		return &exitError{code, err}
	}
	j.child = p.Pid
	_ = p.Release() // stops are wanted too: waitChild reaps it
	changes := make(chan syscall.WaitStatus)
	go waitChild(j.child, changes)
	j.watch(changes)
	j.sweep()
	return nil
}

// notify has signals delivered, but for those that whoever started dlm had ignored: the command shall ignore them too.
func notify(signals chan<- os.Signal) {
	for _, sig := range passedOn {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
}

// waitChild reports every stop and the end of the child.
func waitChild(pid int, changes chan<- syscall.WaitStatus) {
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			ws = exitFailed << 8 // cannot be: it is our child
		}
		changes <- ws
		if err != nil || !ws.Stopped() {
			return
		}
	}
}

// watch returns when the command has exited.
func (j *job) watch(changes <-chan syscall.WaitStatus) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	lost := j.l.Context().Done()
	for {
		select {
		case ws := <-changes:
			switch {
			case ws.Stopped():
				j.stopped(ws.StopSignal())
			case ws.Signaled():
				j.code = exitSignal + int(ws.Signal())
				return
			default:
				j.code = ws.ExitStatus()
				return
			}
		case sig := <-j.signals:
			j.pass(sig.(syscall.Signal))
		case <-lost:
			lost = nil
			// After a revoke the next holder waits for our release; after any other loss it may be there already.
			j.hurry = bootTime() + lostGrace
			j.endCommand(j.l.Err())
		case <-timer.C:
		}
		timer.Reset(j.check())
	}
}

// check renews what is known of the lease, does what is due, and says when to look again.
func (j *job) check() time.Duration {
	if end, held := j.l.LeaseEnd(); held && j.lost == nil {
		j.end = end
		if err := j.guard.tell(j.guardianDue()); err != nil {
			j.guardianGone()
		}
	}
	due, now := j.due(), bootTime()
	if now >= due.term {
		j.endCommand(j.whyClose())
	}
	if now >= due.kill && !j.killed {
		j.killed = true
		signalGroup(j.guard.group(), unix.SIGKILL)
	}
	if j.lost != nil {
		return max(min(due.kill-now, time.Second), time.Millisecond)
	}
	// Renewals come every third of the TTL; the guardian should know of each early.
	return max(min(due.term-now, j.span/20, time.Second), 5*time.Millisecond)
}

// whyClose is why the lease is about to end: either the session's does too, or it is the hold limit.
func (j *job) whyClose() error {
	if end, lives := j.l.Session().LeaseEnd(); lives && end > j.end {
		return errLimitClose
	}
	return errTooClose
}

// guardianGone: without it the command would outlive a killed dlm under a lost lock.
func (j *job) guardianGone() {
	if j.warned {
		return
	}
	j.warned = true
	fmt.Fprintln(os.Stderr, "dlm: the guardian process is gone: if dlm is killed too, nothing ends the command")
}

// endCommand sends TERM once; KILL follows when it is due.
func (j *job) endCommand(why error) {
	if j.lost != nil {
		return
	}
	j.lost = why
	fmt.Fprintf(os.Stderr, "dlm: lock %q (token %d): %s: ending the command\n", j.l.Name(), j.l.Token(), reason(why))
	signalGroup(j.guard.group(), unix.SIGTERM)
}

// pass hands a signal of ours on.
func (j *job) pass(sig syscall.Signal) {
	if sig == unix.SIGCONT {
		// The shell's fg or bg. Whoever was stopped goes on.
		j.tty.hand()
	}
	_ = unix.Kill(-j.guard.group(), sig)
}

// stopped: the command was stopped (Ctrl-Z, or it wants a terminal that it does not have). Like every job it stops as a
// whole, so that the shell notices: dlm too. Nothing is renewed meanwhile; the guardian watches the lease.
func (j *job) stopped(sig syscall.Signal) {
	if j.lost != nil {
		signalGroup(j.guard.group(), unix.SIGTERM) // wakes it
		return
	}
	if (sig == unix.SIGTTIN || sig == unix.SIGTTOU) && j.tty.lend() {
		_ = unix.Kill(-j.guard.group(), unix.SIGCONT)
		return
	}
	if sig == unix.SIGSTOP || !j.tty.there() {
		// Somebody's deliberate doing, or nobody to tell: the lock is kept.
		return
	}
	j.tty.reclaim()
	if jobControl() {
		// The rest of our job too, as with any Ctrl-Z. STOP, because Go keeps its handler for TSTP.
		_ = unix.Kill(0, unix.SIGSTOP)
		time.Sleep(20 * time.Millisecond) // here we stand still until CONT
	}
	j.tty.hand()
	_ = unix.Kill(-j.guard.group(), unix.SIGCONT)
}

// jobControl: is there a shell above us, in our session, that could continue us? (If not the kernel would ignore TSTP.)
func jobControl() bool {
	own := unix.Getpgrp()
	for pid := os.Getppid(); pid > 1; {
		_, pgrp, parent, ok := stat(pid)
		if !ok {
			return false
		}
		if pgrp != own {
			sid, err := unix.Getsid(pid)
			mine, _ := unix.Getsid(0)
			return err == nil && sid == mine
		}
		pid = parent
	}
	return false
}

// sweep ends what the command left in its group: it would run on without the lock.
func (j *job) sweep() {
	group := j.guard.group()
	left := members(group)
	if len(left) == 0 {
		return
	}
	if j.lost == nil {
		fmt.Fprintf(os.Stderr, "dlm: the command exited and left %s behind: ending what is left of its group\n", count(len(left), "process"))
		signalGroup(group, unix.SIGTERM)
	}
	grace := bootTime() + leftoverGrace
	for len(left) > 0 {
		if end, held := j.l.LeaseEnd(); held {
			j.end = end
			_ = j.guard.tell(j.guardianDue())
		}
		kill := j.due().kill
		if j.lost == nil {
			kill = min(kill, grace)
		}
		if bootTime() >= kill {
			for _, pid := range left { // not the guardian: it is still needed
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		time.Sleep(20 * time.Millisecond)
		left = members(group)
	}
}
