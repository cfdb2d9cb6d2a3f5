package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Server is a server process that can be killed.
type Server struct {
	cmd    *exec.Cmd
	exited chan struct{}

	mu      sync.Mutex
	serving *Serving
	ready   chan struct{} // closed with serving
	tail    []string      // of its log
}

// Serving is what a server says when it begins to serve.
type Serving struct {
	Address       string
	Created       bool
	SnapshotIndex uint64 `json:"snapshot_index"`
	Entries       int
	TornBytes     int64 `json:"torn_bytes"`
}

// StartServer starts a server program on a data directory and a free port of the loopback. It does not wait.
func StartServer(program, dir string, args ...string) (*Server, error) {
	args = append([]string{"--data", dir, "--listen", "127.0.0.1:0", "--log-format", "json"}, args...)
	s := &Server{cmd: exec.Command(program, args...), exited: make(chan struct{}), ready: make(chan struct{})}
	s.cmd.SysProcAttr = DieWithParent()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = w
	err = s.cmd.Start()
	_ = w.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), r.Close())
	}
	go s.follow(r)
	return s, nil
}

// follow reads the log until the process has ended.
func (s *Server) follow(r io.ReadCloser) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.line(lines.Bytes())
	}
	_ = r.Close()
	_ = s.cmd.Wait()
	close(s.exited)
}

func (s *Server) line(line []byte) {
	var m struct {
		Msg string
		Serving
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if json.Unmarshal(line, &m) == nil && m.Msg == "serving" && s.serving == nil {
		s.serving = &m.Serving
		close(s.ready)
	}
	s.tail = append(s.tail, string(line))
	if len(s.tail) > 20 {
		s.tail = s.tail[1:]
	}
}

// Ready waits until it serves.
func (s *Server) Ready(ctx context.Context) (Serving, error) {
	select {
	case <-s.ready:
		s.mu.Lock()
		defer s.mu.Unlock()
		return *s.serving, nil
	case <-s.exited:
		return Serving{}, fmt.Errorf("the server has ended (%v) before it served:\n%s", s.cmd.ProcessState, s.Log())
	case <-ctx.Done():
		return Serving{}, fmt.Errorf("the server does not serve: %w; its log:\n%s", ctx.Err(), s.Log())
	}
}

// Kill ends the process with SIGKILL and returns when it is gone. False: it had ended by itself.
func (s *Server) Kill() bool {
	select {
	case <-s.exited:
		return false
	default:
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	st, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && st.Signaled() && st.Signal() == syscall.SIGKILL
}

// Stop ends the process gracefully; it is killed when it takes more than a minute.
func (s *Server) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(time.Minute):
		s.Kill()
		return fmt.Errorf("the server did not stop within a minute; its log:\n%s", s.Log())
	}
	if !s.cmd.ProcessState.Success() {
		return fmt.Errorf("the server ended with %v; its log:\n%s", s.cmd.ProcessState, s.Log())
	}
	return nil
}

// Ended reports whether the process has ended.
func (s *Server) Ended() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// Log is the end of its log.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := ""
	for _, l := range s.tail {
		text += "   | " + l + "\n"
	}
	return text
}

// Served reports whether it has ever served.
func (s *Server) Served() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// Pid of the process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }
