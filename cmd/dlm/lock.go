package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dlm/client"
)

// lockFlags are how `lock` (and `append`) acquire.
type lockFlags struct {
	ttl       time.Duration
	wait      time.Duration
	try       bool
	shared    bool
	value     string
	holdLimit time.Duration
	lockDelay time.Duration
}

func (f *lockFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.DurationVar(&f.ttl, "ttl", 0, "how long the lock outlives the last sign of life of dlm (0: the cluster's default, 30s)")
	flags.DurationVar(&f.wait, "wait", 0, "queue for at most this long, then exit with 71 (default: without limit; 0: as --try)")
	flags.BoolVar(&f.try, "try", false, "do not queue: exit with 71 if the lock is not free")
	flags.StringVar(&f.value, "value", "", "a text that 'dlm locks' shows (default: host and process id)")
	flags.DurationVar(&f.lockDelay, "lock-delay", 0, "if the lock is lost, keep it from everybody for this long")
}

// options are the library's, after a look at what only makes sense as text.
func (f *lockFlags) options(cmd *cobra.Command) ([]client.LockOption, error) {
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"ttl", f.ttl}, {"wait", f.wait}, {"hold-limit", f.holdLimit}, {"lock-delay", f.lockDelay}} {
		if d.value < 0 {
			return nil, usagef("--%s %v: a duration must not be negative", d.flag, d.value)
		}
	}
	if f.try && cmd.Flags().Changed("wait") {
		return nil, usagef("--try means not to wait: it does not go with --wait")
	}
	value := f.value
	if value == "" {
		value = label()
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

func newLock(g *globals) *cobra.Command {
	f := &lockFlags{}
	cmd := &cobra.Command{
		Use:   "lock NAME [flags] -- COMMAND [ARG...]",
		Short: "Run a command while holding a lock",
		Long: `Acquires the lock NAME, runs COMMAND, releases the lock, and exits with COMMAND's exit code.

COMMAND runs in a process group of its own, with DLM_LOCK (the name), DLM_TOKEN (the fencing token of this hold, greater
than every earlier one), DLM_SESSION and DLM_SERVER set. Signals that dlm gets go to the whole group; a terminal is handed
to it.

If the lock is about to be lost, the whole group gets TERM when a quarter of the TTL (at most 10s) is left, and KILL when a
twentieth (at most 2s) is left: both before the lease ends and anybody else can get the lock. When an operator revokes it:
TERM at once, KILL 2s later; the next holder waits until the group is gone (not if the operator revokes "now"). The same
happens when dlm itself is killed (TERM at once) or stopped (TERM when the lease nears its end): a small guardian process,
the leader of the group, sees to it. So a job that is stopped with Ctrl-Z keeps its lock for one TTL.

When COMMAND exits and leaves processes in its group behind, these are ended before the lock is released. Processes that
leave the group (setsid, daemons) are not followed: what they touch must check the token.

` + exitCodeHelp,
		Example: `  dlm lock nightly-report -- ./report.sh
  dlm lock deploy --try -- sh -c 'echo "token $DLM_TOKEN"; ./deploy'
  dlm lock db --wait 30s --ttl 10s --hold-limit 1h -- ./migrate
  dlm lock catalogue --shared -- ./read-it`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case len(args) == 0:
				return errors.New("lock: which lock? usage: dlm " + cmd.Use)
			case dash < 0:
				return errors.New("lock: -- must stand before the command: dlm " + cmd.Use)
			case dash != 1:
				return fmt.Errorf("lock: exactly one lock name goes before --, not %d", dash)
			case len(args) == 1:
				return errors.New("lock: no command after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := f.options(cmd)
			if err != nil {
				return err
			}
			return runLock(g, f, args[0], args[1:], opts)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.shared, "shared", false, "hold it together with other shared holders")
	cmd.Flags().DurationVar(&f.holdLimit, "hold-limit", 0, "give the lock up after this long, whatever the command does (default: never)")
	return cmd
}

// label tells operators who holds something.
func label() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

func (g *globals) dial() (*client.Client, error) {
	level := slog.LevelError
	if g.verbose {
		level = slog.LevelDebug
	}
	return client.Dial(g.server, client.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))))
}

// open dials and begins a session.
func (g *globals) open(ctx context.Context, ttl time.Duration) (*client.Client, *client.Session, error) {
	c, err := g.dial()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.connect)
	defer cancel()
	s, err := c.OpenSession(ctx, client.WithTTL(ttl), client.WithLabel(label()), client.WithConfirmByHand())
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, s, nil
}

// signalCause is the cause of a context that a signal ended.
type signalCause struct{ sig syscall.Signal }

func (s *signalCause) Error() string { return "interrupted by " + s.sig.String() }

// untilSignal is a context that ends with the first signal that means "stop"; ignored ones stay ignored.
func untilSignal() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	got := make(chan os.Signal, 1)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		if !signal.Ignored(sig) {
			signal.Notify(got, sig)
		}
	}
	go func() {
		select {
		case sig := <-got:
			cancel(&signalCause{sig.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(got); cancel(nil) }
}

// runLock is `dlm lock`.
func runLock(g *globals, f *lockFlags, name string, argv []string, opts []client.LockOption) error {
	path, err := lookPath(argv[0])
	if err != nil {
		return err
	}
	ctx, stop := untilSignal()
	c, l, err := acquire(ctx, g, f, name, opts)
	if err != nil {
		stop()
		return interrupted(err)
	}
	// From here on signals belong to the command: none is missed in between.
	signals := make(chan os.Signal, 16)
	notify(signals)
	defer signal.Stop(signals)
	stop()
	defer func() { _ = c.Close() }()
	if sig := (*signalCause)(nil); errors.As(context.Cause(ctx), &sig) {
		release(l, releaseTimeout)
		return &exitError{exitSignal + int(sig.sig), sig}
	}
	env := append(os.Environ(),
		"DLM_LOCK="+name,
		fmt.Sprintf("DLM_TOKEN=%d", l.Token()),
		fmt.Sprintf("DLM_SESSION=%d", l.Session().ID()),
		"DLM_SERVER="+g.server,
	)
	code, lost, err := supervise(signals, l, f.holdLimit, path, argv, env)
	if lost == nil {
		lost = l.Err()
	}
	patience := releaseTimeout
	if lost != nil {
		patience /= 5 // most likely nobody hears it
	}
	release(l, patience)
	switch {
	case err != nil:
		return err
	case lost != nil:
		return &exitError{exitLost, fmt.Errorf("lock %q (token %d) lost, the command was ended: %s", name, l.Token(), reason(lost))}
	case code != 0:
		return &exitError{code, nil}
	}
	return nil
}

// acquire opens a session and takes the lock.
func acquire(ctx context.Context, g *globals, f *lockFlags, name string, opts []client.LockOption) (*client.Client, *client.Lock, error) {
	c, s, err := g.open(ctx, f.ttl)
	if err != nil {
		return nil, nil, err
	}
	l, err := s.Lock(ctx, name, opts...)
	if err != nil {
		_ = c.Close()
		if errors.Is(err, client.ErrExpired) {
			// Waiting, we heard nothing for a whole TTL.
			err = &exitError{exitUnreachable, err}
		}
		return nil, nil, err
	}
	return c, l, nil
}

// interrupted gives an error that a signal caused the exit code that shells give it.
func interrupted(err error) error {
	if sig := (*signalCause)(nil); errors.As(err, &sig) {
		return &exitError{exitSignal + int(sig.sig), err}
	}
	return err
}

// releaseTimeout bounds how long a finished dlm still tries to say so. After it the lock ends with its TTL.
const releaseTimeout = 3 * time.Second

// release closes the session: that releases the lock, and confirms a revoke. A lock that is not released is no reason to
// hide the command's exit code.
func release(l *client.Lock, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Session().Close(ctx); err != nil && !errors.Is(err, client.ErrLost) {
		fmt.Fprintf(os.Stderr, "dlm: the lock could not be released, it ends with its TTL: %v\n", err)
	}
}

// reason is the short form of a loss.
func reason(err error) string {
	for _, r := range []struct {
		is   error
		text string
	}{
		{errGuardian, "the guardian had to end it (dlm was stopped?)"},
		{errLimitClose, "the hold limit is about to pass"},
		{errTooClose, "no renewal got through, the lease was about to end"},
		{client.ErrHoldLimit, "the hold limit passed"},
		{client.ErrExpired, "the session expired"},
		{client.ErrFenced, "another process took over the session"},
	} {
		if errors.Is(err, r.is) {
			return r.text
		}
	}
	return strings.TrimPrefix(err.Error(), "engine: ")
}
