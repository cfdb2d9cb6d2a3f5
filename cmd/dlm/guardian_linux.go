package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The guardian ends the command when dlm cannot: when dlm was killed or stopped.
//
//	dlm --pipe (fd 3): lease ends--> guardian     (leader of the command's process group)
//	 |    <--(fd 4): ready, acted--     | TERM, KILL
//	 +--------- starts ------------> command and its children (same group)
//
// It leads the group so that there is no moment without protection (the group is guarded before the command is in it)
// and no doubt whom a signal goes to: a group's number cannot be used again while its leader lives or was not reaped,
// and dlm reaps the guardian last. The price: it gets every signal that goes to the group. It ignores all that can be
// ignored; KILL ends it with everybody else, which is right, and STOP stops it with everybody else, until CONT.

// guardianVerb is not for people.
const guardianVerb = "__guardian"

// What the guardian says to dlm.
const (
	sayReady = 'r'
	sayActed = 't' // before it sends the group a signal
)

// record is one message to the guardian: when to send TERM and KILL, in nanoseconds of CLOCK_BOOTTIME. Both 0: the command
// has ended, go. The pipe's end without that: dlm is gone.
type record struct{ term, kill time.Duration }

const recordBytes = 16

func (r record) encode() []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, recordBytes), uint64(r.term))
	return binary.LittleEndian.AppendUint64(b, uint64(r.kill))
}

// guardian is dlm's end.
type guardian struct {
	cmd  *exec.Cmd
	to   *os.File
	from *os.File
}

// startGuardian returns when the group is guarded.
func startGuardian(first record) (*guardian, error) {
	orders, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer orders.Close()
	from, ready, err := os.Pipe()
	if err != nil {
		to.Close()
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", guardianVerb)
	cmd.Args[0] = "dlm-guardian"
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{orders, ready}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	ready.Close()
	if err != nil {
		to.Close()
		from.Close()
		return nil, err
	}
	gd := &guardian{cmd: cmd, to: to, from: from}
	err = gd.tell(first)
	if err == nil {
		_, err = io.ReadFull(from, make([]byte, 1))
	}
	if err != nil {
		gd.dismiss()
		return nil, fmt.Errorf("the guardian did not start: %w", err)
	}
	return gd, nil
}

// group is the process group that it guards.
func (gd *guardian) group() int { return gd.cmd.Process.Pid }

// tell fails when the guardian is gone. A stopped guardian reads nothing: then the pipe gets full, and what does not go in
// is left out, because dlm must not get stuck. There is no deadline, which may pass before anything was tried.
func (gd *guardian) tell(r record) error {
	raw, err := gd.to.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			_, failed = unix.Write(int(fd), r.encode()) // the pipe does not block, and takes a record whole or not at all
		}
		return true
	})
	if errors.Is(failed, unix.EAGAIN) {
		failed = nil
	}
	return errors.Join(err, failed)
}

// dismiss ends the guardian and reports whether it had to act.
func (gd *guardian) dismiss() (acted bool) {
	_ = gd.tell(record{})
	gd.to.Close()
	ended := make(chan struct{})
	go func() {
		// It may have been stopped together with the group.
		select {
		case <-ended:
		case <-time.After(time.Second):
			_ = gd.cmd.Process.Kill()
		}
	}()
	said, _ := io.ReadAll(gd.from) // ends with the guardian
	gd.from.Close()
	_ = gd.cmd.Wait()
	close(ended)
	return bytes.IndexByte(said, sayActed) >= 0
}

// guardianMain is the guardian's end. Its own group is the one that it guards.
func guardianMain() int {
	for sig := syscall.Signal(1); sig < 65; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF,
			syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGCONT:
		default:
			signal.Ignore(sig)
		}
	}
	_ = os.Chdir("/") // keep no file system busy
	w := &watch{timer: -1, group: os.Getpid()}
	var err error
	if w.timer, err = unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, "dlm: guardian:", err)
		return exitFailed
	}
	if unix.Getpgrp() != w.group {
		fmt.Fprintln(os.Stderr, "dlm: guardian: must lead a process group; it is not for use by hand")
		return exitUsage
	}
	for {
		over, err := w.wait()
		if err != nil {
			fmt.Fprintln(os.Stderr, "dlm: guardian:", err)
			w.gone = true
		}
		if over {
			return 0
		}
		if w.act(bootTime()) {
			return 0
		}
	}
}

// watch is what the guardian knows.
type watch struct {
	timer int
	group int
	due   record
	buf   []byte
	armed bool // "ready" was said
	gone  bool // dlm is
	told  bool // the group was sent TERM
}

// lookAround is how often a guardian that has sent TERM looks whether anybody is left.
const lookAround = 50 * time.Millisecond

// wait until dlm says something, or goes, or something is due. over: dlm says that all is done.
func (w *watch) wait() (over bool, err error) {
	next := w.due.term
	if w.told {
		next = min(bootTime()+lookAround, w.due.kill)
	}
	if w.due == (record{}) {
		next = 0 // disarmed: nothing is known yet
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(next))}
	if err := unix.TimerfdSettime(w.timer, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		return false, fmt.Errorf("timer: %w", err)
	}
	fds := []unix.PollFd{{Fd: int32(w.timer), Events: unix.POLLIN}, {Fd: 3, Events: unix.POLLIN}}
	if w.gone {
		fds = fds[:1]
	}
	if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("poll: %w", err)
	}
	if w.gone || fds[1].Revents == 0 {
		return false, nil
	}
	return w.read()
}

// read takes what dlm has sent.
func (w *watch) read() (over bool, err error) {
	chunk := make([]byte, 64*recordBytes)
	n, err := unix.Read(3, chunk)
	switch {
	case errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read: %w", err)
	case n == 0:
		w.gone = true
		return w.due == (record{}), nil // before the first lease there is no command
	}
	w.buf = append(w.buf, chunk[:n]...)
	for ; len(w.buf) >= recordBytes; w.buf = w.buf[recordBytes:] {
		w.due.term = time.Duration(binary.LittleEndian.Uint64(w.buf))
		w.due.kill = time.Duration(binary.LittleEndian.Uint64(w.buf[8:]))
		if w.due == (record{}) {
			return true, nil
		}
	}
	if !w.armed && w.due != (record{}) {
		w.armed = true
		w.say(sayReady)
	}
	return false, nil
}

// act does what is due. over: nobody is left.
func (w *watch) act(now time.Duration) (over bool) {
	if w.due == (record{}) {
		return false
	}
	if !w.told && (w.gone || now >= w.due.term) {
		w.told = true
		w.say(sayActed)
		why := "dlm does not renew the lock any more (stopped?)"
		if w.gone {
			why = "dlm is gone"
		}
		fmt.Fprintf(os.Stderr, "dlm: guardian: %s: ending the command\n", why)
		signalGroup(w.group, unix.SIGTERM)
	}
	if now >= w.due.kill {
		// Ends the guardian too.
		signalGroup(w.group, unix.SIGKILL)
		return true
	}
	return w.told && w.gone && len(members(w.group)) == 0
}

func (w *watch) say(b byte) { _, _ = unix.Write(4, []byte{b}) }

// signalGroup also wakes stopped processes, which would not notice anything but KILL.
func signalGroup(group int, sig syscall.Signal) {
	_ = unix.Kill(-group, sig)
	if sig == unix.SIGTERM {
		_ = unix.Kill(-group, unix.SIGCONT)
	}
}

// members are the processes of a group that live, without its leader (the guardian).
func members(group int) []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == group {
			continue
		}
		if state, pgrp, _, ok := stat(pid); ok && pgrp == group && state != "Z" && state != "X" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat reads /proc/PID/stat: "PID (name) STATE PPID PGRP ...", where the name may hold anything.
func stat(pid int) (state string, pgrp, parent int, ok bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, 0, false
	}
	defer f.Close()
	line, _ := bufio.NewReader(f).ReadString(0)
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 3 {
		return "", 0, 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	pgrp, err2 := strconv.Atoi(fields[2])
	return fields[0], pgrp, parent, err == nil && err2 == nil
}

// bootTime is the clock of the library's LeaseEnd.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("dlm: CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
