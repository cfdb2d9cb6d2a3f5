package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// terminal is the controlling terminal, if there is one, and the question of whose it is.
//
// A group other than the terminal's foreground group cannot read from it, and does not get Ctrl-C. So the command's group
// becomes the foreground group if dlm's was. When dlm is part of a pipeline (`dlm ... | less`), the neighbours are in dlm's
// group and may need the terminal more: then it is handed over only when the command asks for it, and Ctrl-C, which dlm
// gets, is passed on.
type terminal struct {
	f     *os.File
	group int // the command's
	own   int // ours
	eager bool
	// handed: the command's group was made the foreground group by us.
	handed bool
}

func openTerminal(group int) *terminal {
	t := &terminal{group: group, own: unix.Getpgrp()}
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return t
	}
	t.f = f
	t.eager = isTerminal(os.Stdin) && isTerminal(os.Stdout)
	return t
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// terminalWidth is how many columns there are.
func terminalWidth(f *os.File) int {
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
		return int(size.Col)
	}
	return 80
}

func (t *terminal) there() bool { return t.f != nil }

func (t *terminal) foreground() int {
	pgrp, err := unix.IoctlGetInt(int(t.f.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return pgrp
}

// hand gives the terminal to the command, if it is ours to give and the command is alone on it.
func (t *terminal) hand() {
	if t.f != nil && t.eager {
		t.lend()
	}
}

// lend gives the terminal to the command, if it is ours to give.
func (t *terminal) lend() bool {
	if t.f == nil || t.foreground() != t.own {
		return false
	}
	t.handed = t.set(t.group)
	return t.handed
}

// reclaim takes it back, if the command still has it.
func (t *terminal) reclaim() {
	if t.f != nil && t.handed && t.foreground() == t.group {
		t.set(t.own)
	}
	t.handed = false
}

// set is tcsetpgrp. Somebody in the background who calls it would be stopped by SIGTTOU.
func (t *terminal) set(pgrp int) bool {
	if !signal.Ignored(unix.SIGTTOU) {
		signal.Ignore(unix.SIGTTOU)
		defer signal.Reset(unix.SIGTTOU)
	}
	return unix.IoctlSetPointerInt(int(t.f.Fd()), unix.TIOCSPGRP, pgrp) == nil
}

func (t *terminal) close() {
	if t.f != nil {
		t.f.Close()
	}
}
