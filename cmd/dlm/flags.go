package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"dlm/client"
	"dlm/cmd/internal/human"
)

// globals are the flags that all verbs have.
type globals struct {
	server  string
	connect time.Duration
	verbose bool
	// ran: flags and arguments were in order. What cobra says before that is about usage.
	ran bool
}

func (g *globals) add(root *cobra.Command) {
	g.server = os.Getenv("DLM_SERVER")
	if g.server == "" {
		g.server = "127.0.0.1:50051"
	}
	g.connect = 5 * time.Second
	flags := root.PersistentFlags()
	flags.StringVar(&g.server, "server", g.server, "`address` of a server, or several with commas between (DLM_SERVER)")
	flags.Var(duration{&g.connect}, "connect-timeout", "how long to wait for a server that answers; 0: for ever")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "tell about connections and keep-alives on standard error")
}

// dial makes the client; it does not wait for a connection.
func (g *globals) dial() (*client.Client, error) {
	level := slog.LevelError
	if g.verbose {
		level = slog.LevelDebug
	}
	c, err := client.Dial(g.server, client.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))))
	if errors.Is(err, client.ErrInvalid) {
		return nil, usagef("--server (or DLM_SERVER): %w", err)
	}
	return c, err
}

// bounded is ctx for something that a server answers at once. If it does not, that is shown on a terminal.
func (g *globals) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	cancel := context.CancelFunc(nil)
	if g.connect == 0 {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, g.connect)
	}
	stop := g.showSilence(ctx)
	return ctx, func() { cancel(); stop() }
}

// withClient runs f with a client and a context that a signal ends.
func (g *globals) withClient(f func(ctx context.Context, c *client.Client) error) error {
	c, err := g.dial()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ctx, stop := untilSignal()
	defer stop()
	return f(ctx, c)
}

// with is withClient within --connect-timeout.
func (g *globals) with(f func(ctx context.Context, c *client.Client) error) error {
	return g.withClient(func(ctx context.Context, c *client.Client) error {
		ctx, cancel := g.bounded(ctx)
		defer cancel()
		return f(ctx, c)
	})
}

// each visits a list that is read in pages, however many: every page gets --connect-timeout.
func each[T any](ctx context.Context, g *globals, read func(context.Context) iter.Seq2[T, error], visit func(T)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := g.connect
	if patience == 0 {
		patience = math.MaxInt64
	}
	timer := time.AfterFunc(patience, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	for item, err := range read(ctx) {
		if err != nil {
			return err
		}
		visit(item)
		timer.Reset(patience)
	}
	return nil
}

// duration is a flag for a length of time that is not negative.
type duration struct{ to *time.Duration }

func (d duration) Type() string { return "duration" }

func (d duration) String() string {
	if d.to == nil || *d.to == 0 {
		return ""
	}
	return human.Duration(*d.to)
}

func (d duration) Set(text string) (err error) {
	v, err := human.ParseDuration(text)
	if err == nil {
		*d.to = v
	}
	return err
}

// someTime is a duration that is not 0.
type someTime struct{ duration }

func (d someTime) Set(text string) error {
	v, err := human.ParseDuration(text)
	if err == nil && v == 0 {
		err = errors.New("must not be 0: without the flag the default holds")
	}
	if err == nil {
		*d.to = v
	}
	return err
}

// number is a flag for a session's id or a token. 0 is neither: a script whose variable is wrong must hear of it.
type number struct{ to *uint64 }

func (n number) Type() string { return "number" }

func (n number) String() string {
	if n.to == nil || *n.to == 0 {
		return ""
	}
	return strconv.FormatUint(*n.to, 10)
}

func (n number) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil || v == 0 {
		return errors.New("must be a number above 0, as 'dlm locks' shows it")
	}
	*n.to = v
	return nil
}

// lockFlags are how a verb acquires a lock.
type lockFlags struct {
	ttl       time.Duration
	wait      time.Duration
	try       bool
	shared    bool
	value     string
	holdLimit time.Duration
	lockDelay time.Duration
}

// add gives a verb the flags of an acquire; hold: also those that only make sense if the lock is held for a while.
func (f *lockFlags) add(cmd *cobra.Command, hold bool) {
	flags := cmd.Flags()
	flags.Var(someTime{duration{&f.ttl}}, "ttl", "how long the lock outlives the last sign of life of its holder (default: the cluster's, 30s)")
	flags.Var(duration{&f.wait}, "wait", "queue for at most this long, then exit with 71 (default: without limit; 0: as --try)")
	flags.BoolVar(&f.try, "try", false, "do not queue: exit with 71 if the lock is not free")
	flags.StringVar(&f.value, "value", "", "a text that 'dlm locks' shows (default: host and process id)")
	if hold {
		flags.BoolVar(&f.shared, "shared", false, "hold it together with other shared holders")
		flags.Var(duration{&f.holdLimit}, "hold-limit", "give the lock up after this long, whatever its holder does (default: never)")
		flags.Var(duration{&f.lockDelay}, "lock-delay", "if the lock is lost, keep it from everybody for this long")
	}
}

// options are the library's. pid is whose lock it shall be.
func (f *lockFlags) options(cmd *cobra.Command, pid int) ([]client.LockOption, error) {
	if f.try && cmd.Flags().Changed("wait") {
		return nil, usagef("--try means not to wait: it does not go with --wait")
	}
	value := f.value
	if value == "" {
		value = label(pid)
	}
	opts := []client.LockOption{client.Value([]byte(value)), client.HoldLimit(f.holdLimit), client.LockDelay(f.lockDelay)}
	if f.shared {
		opts = append(opts, client.Shared())
	}
	if f.try {
		opts = append(opts, client.Wait(0))
	} else if cmd.Flags().Changed("wait") {
		opts = append(opts, client.Wait(f.wait))
	}
	return opts, nil
}

// label tells operators who holds something.
func label(pid int) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d", host, pid)
}
