package side

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Service is a server that can be started here.
type Service struct {
	Name string
	// Setup is how it is run, in words.
	Setup string
	// Find says what is missing if it is not installed.
	Find    func() error
	Version func() (string, error)
	// Ports is how many ports it needs; it is used at the first.
	Ports int
	// Prepare makes its data directory, if that takes more than an empty directory. nil = it does not.
	Prepare func(dir string) error
	Start   func(dir string, ports []int) Command
	// Stop is the signal that ends it. 0 = SIGTERM.
	Stop syscall.Signal
}

// Command is a process to start.
type Command struct {
	Path string
	Args []string
	// As is whose process it is. nil = ours.
	As *syscall.Credential
}

// Running is a server's process.
type Running struct {
	Addr  string
	Ports []int
	Dir   string
	PID   int

	service *Service
	cmd     *exec.Cmd
	logPath string
	ended   chan struct{}
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts are some that nobody listens on right now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all of them are open at once, so they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// patience is how long a server may take to accept connections, or to stop.
const patience = 60 * time.Second

// Run starts the service with its data in a new directory below dir, and waits until it accepts connections.
func (s *Service) Run(ctx context.Context, dir string) (*Running, error) {
	dir = filepath.Join(dir, s.Name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	if s.Prepare != nil {
		if err := s.Prepare(dir); err != nil {
			return nil, fmt.Errorf("%s: preparing its data: %w", s.Name, err)
		}
	}
	ports, err := freePorts(s.Ports)
	if err != nil {
		return nil, err
	}
	c := s.Start(dir, ports)
	r := &Running{
		Addr: local(ports[0]), Ports: ports, Dir: dir, service: s, logPath: filepath.Join(dir, "log"), ended: make(chan struct{}),
	}
	log, err := os.Create(r.logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r.cmd = exec.Command(c.Path, c.Args...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	// A group of its own: an interrupt at the terminal is for us, who then stop the servers.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.As}
	r.cmd.Dir = dir
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	r.PID = r.cmd.Process.Pid
	go func() {
		_ = r.cmd.Wait() // that it ended is what counts
		close(r.ended)
	}()
	if err := r.ready(ctx); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

func (r *Running) ready(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not listen after %v: %w\n%s", r.service.Name, patience, err, r.lastWords())
		}
		select {
		case <-r.ended:
			return fmt.Errorf("%s ended at its start:\n%s", r.service.Name, r.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastWords is the end of its log.
func (r *Running) lastWords() string {
	b, err := os.ReadFile(r.logPath)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// Halt stops the whole process tree from running, Go on lets it run again.
func (r *Running) Halt() { r.signal(syscall.SIGSTOP) }

// GoOn ends a Halt.
func (r *Running) GoOn() { r.signal(syscall.SIGCONT) }

func (r *Running) signal(sig syscall.Signal) {
	for _, pid := range tree(r.PID) {
		_ = syscall.Kill(pid, sig) // one that has just ended needs none
	}
}

// Stop ends the server, and waits until it has.
func (r *Running) Stop() error {
	r.GoOn()
	sig := r.service.Stop
	if sig == 0 {
		sig = syscall.SIGTERM
	}
	_ = r.cmd.Process.Signal(sig)
	select {
	case <-r.ended:
		return nil
	case <-time.After(patience):
	}
	for _, pid := range tree(r.PID) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-r.ended
	return fmt.Errorf("%s (process %d) did not stop within %v, and was killed", r.service.Name, r.PID, patience)
}

// tree is a process and what it started, as far as that lives.
func tree(pid int) []int {
	all := []int{pid}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return all
	}
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, child := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(child); err == nil {
				all = append(all, tree(n)...)
			}
		}
	}
	return all
}

// ticks a second of the times in /proc/PID/stat: the kernel's USER_HZ is 100 everywhere.
const ticks = 100

// CPU is the time that the server's processes have used, those that have ended and been waited for too.
func (r *Running) CPU() (time.Duration, error) {
	var sum uint64
	for i, pid := range tree(r.PID) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			if i > 0 {
				continue // a child that has just ended: its parent's times have it
			}
			return 0, fmt.Errorf("%s is gone: %w\n%s", r.service.Name, err, r.lastWords())
		}
		// The fields after the name, which is in brackets and may hold anything: utime, stime, cutime, cstime are 14 to 17.
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')'):]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 15 {
			return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
		}
		for _, f := range fields[11:15] {
			n, err := strconv.ParseUint(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
			}
			sum += n
		}
	}
	return time.Duration(sum) * (time.Second / ticks), nil
}

// Output is what a program prints, without the space around it.
func Output(path string, args ...string) (string, error) {
	b, err := exec.Command(path, args...).CombinedOutput()
	return strings.TrimSpace(string(b)), err
}
