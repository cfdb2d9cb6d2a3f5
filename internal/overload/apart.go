package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"dlm/internal/rig"
)

var errOneProcessor = errors.New("this machine gives one processor only; the server needs one, the load another")

const (
	crowdArg = "crowd"
	// movedEnv says that this process is on its own processors already.
	movedEnv = "DLM_OVERLOAD_SERVER_CPU"
)

// apart runs the measurement on other processors than the server's.
func apart(ctx context.Context, s settings) error {
	if cpu := os.Getenv(movedEnv); cpu != "" {
		return run(ctx, s, atoi(cpu))
	}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("which processors may be used: %w", err)
	}
	if all.Count() < 2 {
		return errOneProcessor
	}
	cpu := 0
	for !all.IsSet(cpu) {
		cpu++
	}
	all.Clear(cpu)
	// Threads inherit the set of the one that made them. This process has some already, so it begins anew.
	runtime.LockOSThread()
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		return fmt.Errorf("leave processor %d to the server: %w", cpu, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), movedEnv+"="+strconv.Itoa(cpu)))
}

// onProcessor calls start, which starts a process, so that this runs on one processor only, with a priority as of nice. The
// thread that does so is spoilt for other work; it stays, because what it starts dies with it.
func onProcessor(cpu, nice int, start func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		var only unix.CPUSet
		only.Set(cpu)
		err := errors.Join(unix.SchedSetaffinity(0, &only), unix.Setpriority(unix.PRIO_PROCESS, 0, nice))
		if err == nil {
			err = start()
		}
		done <- err
		select {}
	}()
	return <-done
}

// startServer starts a server on one processor that will yield to others.
func startServer(ctx context.Context, s settings, dir string, cpu int) (server *rig.Server, err error) {
	err = onProcessor(cpu, s.nice, func() error {
		// The log since the last snapshot is in memory too: 64 MiB of it unless changed, which the run is too short to fill.
		server, err = rig.StartServer(s.server, filepath.Join(dir, "data"), "--snapshot-bytes", "8MiB")
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := server.Ready(ctx); err != nil {
		server.Kill()
		return nil, err
	}
	return server, nil
}

// crowd keeps a processor busy from now on. What it returns ends that.
func crowd(cpu int) (end func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, crowdArg)
	cmd.SysProcAttr = rig.DieWithParent()
	if err := onProcessor(cpu, 0, cmd.Start); err != nil {
		return nil, err
	}
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }, nil
}
