package run

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"dlm/sim"
)

// Died is the number of a failure in which the process ended (or was ended, because it hung) instead of answering.
const Died = "died"

// Pool runs seeds in child processes, one simulation at a time in each.
type Pool struct {
	// Program is started as a child; it has to call ServeIfAsked. Default: this very program.
	Program string
	// Env is added to the children's environment.
	Env []string
	// Processes is how many run at once, 1 or more.
	Processes int
	// Hang is how long a seed may take in real time before its process is ended. It is there for endless loops only: a run
	// is bounded by its number of events. Default 5 minutes.
	Hang time.Duration
}

// Each runs the seeds that next gives (false = no more) and hands each result to got, one at a time, in the order in which
// they end. When ctx ends no further seed begins; those that run are finished. The error is about starting children only.
func (p Pool) Each(ctx context.Context, next func() (uint64, bool), got func(Result)) error {
	if p.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		p.Program = self
	}
	if p.Hang == 0 {
		p.Hang = 5 * time.Minute
	}
	var mu sync.Mutex // next and got are the caller's, who need not lock
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return 0, false
		}
		return next()
	}
	give := func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		got(r)
	}
	errs := make([]error, max(p.Processes, 1))
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = p.one(take, give) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// one keeps one child busy, and replaces it when it dies.
func (p Pool) one(take func() (uint64, bool), give func(Result)) error {
	var c *child
	defer func() { c.end() }()
	for {
		seed, ok := take()
		if !ok {
			return nil
		}
		if c == nil {
			var err error
			if c, err = p.start(); err != nil {
				give(Result{Seed: seed, Failure: &sim.Failure{Number: Died, Text: err.Error()}})
				return err
			}
		}
		r, err := c.run(seed, p.Hang)
		if err != nil {
			c.end()
			r = Result{Seed: seed, Failure: &sim.Failure{Number: Died, Text: fmt.Sprintf("%v\n%s", err, c.said.String())}}
			c = nil
		}
		give(r)
	}
}

// GCPercent suits a simulation: its heap is small, and its garbage much.
const GCPercent = 400

// childEnv is the environment of a child unless Env says otherwise. With more processors than its one thread can use, it
// pays twice for its garbage.
var childEnv = []string{"GOMAXPROCS=1", "GOGC=" + strconv.Itoa(GCPercent)}

// child is one process.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	said *tail
}

func (p Pool) start() (*child, error) {
	c := &child{cmd: exec.Command(p.Program), said: &tail{most: 16 << 10}}
	c.cmd.Env = slices.Concat(os.Environ(), childEnv, p.Env, []string{serveEnv + "=1"})
	c.cmd.Stderr = c.said
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 64<<10)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("a process for the simulation: %w", err)
	}
	return c, nil
}

func (c *child) run(seed uint64, hang time.Duration) (Result, error) {
	if _, err := fmt.Fprintln(c.in, seed); err != nil {
		return Result{}, fmt.Errorf("the process of the simulation is gone: %w", err)
	}
	hung := time.AfterFunc(hang, func() { _ = c.cmd.Process.Kill() })
	line, err := c.out.ReadBytes('\n')
	if !hung.Stop() {
		return Result{}, fmt.Errorf("no result after %v: the run hangs", hang)
	}
	if err != nil {
		return Result{}, fmt.Errorf("the process of the simulation ended: %w", err)
	}
	var r Result
	if err := json.Unmarshal(line, &r); err != nil {
		return Result{}, fmt.Errorf("the process of the simulation said %.200q, not a result: %w", line, err)
	}
	return r, nil
}

// end closes the child's input and waits for its end.
func (c *child) end() {
	if c == nil {
		return
	}
	_ = c.in.Close()
	slow := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	_ = c.cmd.Wait()
	slow.Stop()
}

// tail keeps the first and the last bytes of what is written to it: of a crash, the first lines say why.
type tail struct {
	most  int
	first []byte
	last  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	if room := t.most/2 - len(t.first); room > 0 {
		take := min(room, len(b))
		t.first = append(t.first, b[:take]...)
		b = b[take:]
	}
	t.last = append(t.last, b...)
	if over := len(t.last) - t.most/2; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return n, nil
}

func (t *tail) String() string {
	if len(t.last) == 0 {
		return string(t.first)
	}
	return string(t.first) + "\n...\n" + string(t.last)
}
