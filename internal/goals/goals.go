package goals

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// Goal is one of the five.
type Goal struct {
	number int
	name   string // of the fault that is survived
	title  string // what the first line says after the name, for %s = the server's address
	flags  func(*flag.FlagSet, *options)
	check  func(*options) error // of the flags
	run    func(ctx context.Context, e *env, r *rig.Report)
}

// options are what a program's flags say.
type options struct {
	server string // goal 5: the server program
	slow   bool   // goal 3: show the default TTL too
}

// env is what a goal runs in.
type env struct {
	options
	addr string
	// id begins all names of this run, so that it finds nothing of an earlier one.
	id string
	// calm switches every injector off. Only tests set it, to see that a goal notices.
	calm bool
	// stdout is where the report goes.
	stdout io.Writer

	names atomic.Uint64
}

// name makes a name that nothing else has.
func (e *env) name(what string) string { return fmt.Sprintf("%s-%s-%d", e.id, what, e.names.Add(1)) }

const (
	exitFailed = 1
	exitUsage  = 2
)

// patience is how long a program waits for the server to answer at all.
const patience = 5 * time.Second

// timeout ends a program that hangs: far more than it takes, so that a loaded machine does not fail it.
const timeout = 3 * time.Minute

// Main is the whole of a goal's program.
func Main(g Goal) {
	if os.Getenv(childVariable) != "" {
		os.Exit(childMain())
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(g.command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command is Main with everything that it touches passed in.
func (g Goal) command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	e, err := g.parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "test_goal%d: %v\nRun 'test_goal%d --help' for its usage.\n", g.number, err, g.number)
		return exitUsage
	}
	e.stdout = stdout
	if g.execute(ctx, e) != nil {
		return exitFailed
	}
	return 0
}

func (g Goal) parse(args []string, stdout io.Writer) (*env, error) {
	e := &env{}
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	if g.flags != nil {
		g.flags(f, &e.options)
	}
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, "Usage: test_goal%d [flags] HOST:PORT\n\nShows goal %d, %s, against the server at that address. Prints what it\n"+
			"breaks and what it sees; the last line is PASS or FAIL and why. Exit code 0, 1 for\nFAIL, 2 for a wrong command line.\n", g.number, g.number, g.name)
		f.SetOutput(stdout)
		f.PrintDefaults()
	}
	if err != nil {
		return nil, err
	}
	if f.NArg() != 1 {
		return nil, fmt.Errorf("one argument is needed, the server's HOST:PORT such as localhost:50051; there are %d", f.NArg())
	}
	if g.check != nil {
		if err := g.check(&e.options); err != nil {
			return nil, err
		}
	}
	e.addr = f.Arg(0)
	host, port, err := net.SplitHostPort(e.addr)
	if err != nil || host == "" {
		return nil, fmt.Errorf("%q is no HOST:PORT such as localhost:50051", e.addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("%q: the port must be a number from 1 to 65535", e.addr)
	}
	return e, nil
}

// execute runs the goal and prints its report.
func (g Goal) execute(ctx context.Context, e *env) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the program took longer than %v", timeout))
	defer cancel()
	e.id = newID(g.number)
	r := rig.NewReport(e.stdout, fmt.Sprintf("Goal %d, %s: ", g.number, g.name)+strings.ReplaceAll(g.title, "%s", e.addr))
	if err := e.reachable(ctx); err != nil {
		r.Fail(err)
	} else {
		g.run(ctx, e, r)
	}
	return r.End()
}

func newID(goal int) string {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("goal%d-%s", goal, hex.EncodeToString(b[:]))
}

// reachable says in plain words when nobody answers.
func (e *env) reachable(ctx context.Context) error {
	c, err := client.Dial(e.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := c.Status(ctx); err != nil {
		return fmt.Errorf("no server answers at %s within %v; start one with 'make run': %w", e.addr, patience, err)
	}
	return nil
}

// impatient are the settings of clients that meet faults: the defaults with shorter times, so that a program shows many
// retries in seconds.
func impatient() []client.Option {
	return []client.Option{client.WithAttemptTimeout(200 * time.Millisecond), client.WithBackoff(20*time.Millisecond, 500*time.Millisecond)}
}

// dial makes a client of an address with the settings above.
func dial(addr string, opts ...client.Option) (*client.Client, error) {
	return client.Dial(addr, append(impatient(), opts...)...)
}

// roundMS is a duration for a reader.
func roundMS(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
