package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"dlm/client"
)

func newLock(g *globals) *cobra.Command {
	f := &lockFlags{}
	cmd := &cobra.Command{
		Use:   "lock NAME [flags] -- COMMAND [ARG...]",
		Short: "Run a command while holding a lock",
		Long: `Acquires the lock NAME, runs COMMAND, releases the lock, and exits with COMMAND's exit code.

COMMAND runs in a process group of its own, with DLM_LOCK (the name), DLM_TOKEN (the fencing token of this hold, greater
than every earlier one), DLM_SESSION and DLM_SERVER set. Signals that dlm gets go to the whole group; a terminal is handed
to it. Within COMMAND, 'dlm append', 'dlm rm' and 'dlm renew' act under this hold.

If the lock is about to be lost, the whole group gets TERM when a quarter of the TTL (at most 10s) is left, and KILL when a
twentieth (at most 2s) is left: both before the lease ends and anybody else can get the lock. When an operator revokes it:
TERM at once, KILL 2s later; the next holder waits until the group is gone (not if the operator revokes "now"). The same
happens when dlm itself is killed (TERM at once) or stopped (TERM when the lease nears its end): a small guardian process,
the leader of the group, sees to it. So a job that is stopped with Ctrl-Z keeps its lock for one TTL.

When COMMAND exits and leaves processes in its group behind, these are ended before the lock is released. Processes that
leave the group (setsid, daemons) are not followed: what they touch must check the token.

The exit code is COMMAND's own, or one of these:

` + exitCodeHelp,
		Example: `  dlm lock nightly-report -- ./report.sh
  dlm lock deploy --try -- sh -c 'echo "token $DLM_TOKEN"; ./deploy'
  dlm lock db --wait 30s --ttl 10s --hold-limit 1h -- ./migrate
  dlm lock catalogue --shared -- ./read-it`,
		Args:              lockArgs,
		ValidArgsFunction: g.completeLock,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := f.options(cmd, os.Getpid())
			if err != nil {
				return err
			}
			return g.runLock(f, args[0], args[1:], opts)
		},
	}
	f.add(cmd, true)
	return cmd
}

func lockArgs(cmd *cobra.Command, args []string) error {
	switch dash := cmd.ArgsLenAtDash(); {
	case len(args) == 0:
		return errors.New("lock: which lock? usage: dlm " + cmd.Use)
	case dash < 0 && len(args) == 1:
		return errors.New("lock: no command: give one after --, or use 'dlm acquire' to keep the lock without one")
	case dash < 0:
		return errors.New("lock: -- must stand before the command: dlm " + cmd.Use)
	case dash != 1:
		return fmt.Errorf("lock: exactly one lock name goes before --, not %d", dash)
	case len(args) == 1:
		return errors.New("lock: no command after --")
	}
	return nil
}

// runLock is `dlm lock`.
func (g *globals) runLock(f *lockFlags, name string, argv []string, opts []client.LockOption) error {
	path, err := lookPath(argv[0])
	if err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	c, s, err := g.open(ctx, f.ttl, os.Getpid())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	l, err := g.take(ctx, c, s, name, opts)
	if err != nil {
		return err
	}
	// From here on signals belong to the command: none is missed in between.
	signals := make(chan os.Signal, 16)
	notify(signals)
	defer signal.Stop(signals)
	stop()
	if sig := (*signalCause)(nil); errors.As(context.Cause(ctx), &sig) {
		release(l, releaseTimeout)
		return sig
	}
	door, err := openDoor(l)
	if err != nil {
		release(l, releaseTimeout)
		return err
	}
	defer door.close()
	env := append(os.Environ(),
		"DLM_LOCK="+name,
		fmt.Sprintf("DLM_TOKEN=%d", l.Token()),
		fmt.Sprintf("DLM_SESSION=%d", l.Session().ID()),
		"DLM_SERVER="+g.server,
		envDoor+"="+door.address(),
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
	return strings.TrimPrefix(say(err), "lost: ")
}
