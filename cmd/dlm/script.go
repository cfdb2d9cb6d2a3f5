package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/cmd/internal/human"
)

const sessionHelp = `The lock belongs to a session that no process keeps alive: it ends when its TTL has passed since the last 'acquire', 'renew'
or other command that used it. Each of these takes the session over for a moment (attach), so they must run one after the
other; the later one has it, the earlier one fails with 70.`

func newAcquire(g *globals) *cobra.Command {
	f := &lockFlags{}
	var out format
	var export bool
	var session uint64
	cmd := &cobra.Command{
		Use:   "acquire NAME",
		Short: "Acquire a lock for a script, and leave it held",
		Long: `Acquires the lock NAME and exits, leaving it held for --ttl: renew it in time with 'dlm renew', give it back with
'dlm release'. Where a command can be put under the lock instead, prefer 'dlm lock': it renews, and ends the command when
the lock is lost.

` + sessionHelp + `

Prints the token, which proves to any resource who holds the lock, and the session. With --export it prints shell
commands that set DLM_LOCK, DLM_TOKEN and DLM_SESSION, which 'renew', 'release', 'check', 'append' and 'rm' go by when
they are not told otherwise.

` + exitCodeHelp,
		Example: `  eval "$(dlm acquire nightly --ttl 10m --export)"
  dlm acquire deploy --try --ttl 1m -o json
  dlm acquire second --session "$DLM_SESSION"`,
		Args:              oneName("acquire", "lock"),
		ValidArgsFunction: g.completeLock,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := f.options(cmd, os.Getppid())
			if err != nil {
				return err
			}
			switch {
			case export && cmd.Flags().Changed("output"):
				return usagef("--export has a form of its own: it does not go with -o")
			case session != 0 && f.ttl != 0:
				return usagef("--session %d has its TTL already: --ttl does not go with it", session)
			}
			show := func(v holdView) error { return out.print(v, holdTable(v)) }
			if export {
				show = func(v holdView) error { return printExport(v, g.serverGiven(cmd)) }
			}
			return g.runAcquire(f, args[0], session, opts, show)
		},
	}
	f.add(cmd, true)
	out.add(cmd)
	cmd.Flags().BoolVar(&export, "export", false, "print shell commands that set DLM_LOCK, DLM_TOKEN and DLM_SESSION")
	cmd.Flags().Var(number{&session}, "session", "acquire it in the session with this `id`, instead of a new one")
	return cmd
}

// serverGiven is the address that was given by flag, which later commands need too; "" otherwise.
func (g *globals) serverGiven(cmd *cobra.Command) string {
	if cmd.Flags().Changed("server") {
		return g.server
	}
	return ""
}

// oneName is the arguments' check of a verb that takes one name.
func oneName(verb, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("%s: which %s? usage: dlm %s", verb, what, cmd.Use)
		case len(args) > 1:
			return fmt.Errorf("%s: one %s, not %d: %s", verb, what, len(args), strings.Join(args, " "))
		}
		return nil
	}
}

// maybeName is the arguments' check of a verb that goes by DLM_LOCK when it is given no name. An empty one is a script's
// variable that is not set: that must not mean another lock.
func maybeName(verb string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return fmt.Errorf("%s: one lock, not %d: %s", verb, len(args), strings.Join(args, " "))
		case len(args) == 1 && args[0] == "":
			return fmt.Errorf("%s: the name of the lock is empty: give it, or leave it out for the one in DLM_LOCK", verb)
		}
		return nil
	}
}

func (g *globals) runAcquire(f *lockFlags, name string, session uint64, opts []client.LockOption, show func(holdView) error) error {
	if err := refuseOwn(session); err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	var c *client.Client
	var s *client.Session
	var err error
	if session == 0 {
		c, s, err = g.open(ctx, f.ttl, os.Getppid())
	} else {
		c, s, err = g.attach(ctx, session, client.WithConfirmByHand())
	}
	if err != nil {
		return err
	}
	// giveBack is for when nobody will know of the hold.
	giveBack := func(l *client.Lock) {
		if session == 0 {
			_ = c.Close()
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		if l != nil {
			_ = l.Unlock(ctx)
		}
		settle(ctx, s)
		c.Leave()
	}
	l, err := g.take(ctx, c, s, name, opts)
	if err != nil {
		giveBack(nil)
		return err
	}
	// We may have waited for long: the script gets a whole TTL.
	v, err := g.renewHold(ctx, c, s, l, f.holdLimit)
	if err == nil {
		if err = show(v); err != nil {
			err = fmt.Errorf("the lock was acquired and given back, because that could not be printed: %w", err)
		}
	}
	if err != nil {
		giveBack(l)
		return err
	}
	c.Leave()
	return nil
}

// settle waits until what the library still had to say has arrived: the cancel of an acquire that was given up, and the
// release if that was granted all the same. Each goes ahead of the request that is answered here.
func settle(ctx context.Context, s *client.Session) {
	for range 2 {
		if _, err := s.Request(ctx, "settle", keepAlive()); err != nil {
			return
		}
	}
}

func keepAlive() *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}
}

// renewHold renews the session and, unless limit is 0, the hold limit.
func (g *globals) renewHold(ctx context.Context, c *client.Client, s *client.Session, l *client.Lock, limit time.Duration) (holdView, error) {
	ask, cancel := g.bounded(ctx)
	defer cancel()
	var err error
	if limit > 0 {
		err = l.Renew(ask, limit)
	} else {
		_, err = s.Request(ask, "renew", keepAlive())
	}
	if err != nil {
		return holdView{}, err
	}
	v, ok, err := g.look(ctx, c, l.Name(), l.Token())
	if err == nil && !ok {
		h := hold{lock: l.Name(), session: s.ID(), token: l.Token()}
		err = h.lost(ctx, g, s)
	}
	return v, err
}

func holdTable(v holdView) func(w io.Writer) {
	return func(w io.Writer) {
		left := human.Span(v.left)
		if v.limited {
			left += " (hold limit)"
		}
		pairs(w, "lock", human.Printable(v.Lock), "token", v.Token, "session", v.Session, "mode", v.Mode, "ends in", left)
	}
}

// printExport prints what a POSIX shell's eval takes.
func printExport(v holdView, server string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "export DLM_LOCK=%s DLM_TOKEN=%d DLM_SESSION=%d", quoteShell(v.Lock), v.Token, v.Session)
	if server != "" {
		fmt.Fprintf(&b, " DLM_SERVER=%s", quoteShell(server))
	}
	fmt.Fprintf(&b, "\nunset %s\n", envDoor)
	_, err := os.Stdout.WriteString(b.String())
	return err
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func newRenew(g *globals) *cobra.Command {
	f := &holdFlags{}
	var out format
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "renew [NAME]",
		Short: "Renew a script's lock, and say how long it lasts",
		Long: `Begins the TTL of the session anew, and with --hold-limit the hold limit of the lock. Exits with 70 if the lock was lost, and
says why: stop then what is done under it, and 'dlm release' it.

A script that works longer than the TTL calls this in time, between its steps. An operator's revoke is noticed here (or by
'dlm check'); the next holder waits for 'dlm release', at most until the lease ends that was running at the revoke.

` + sessionHelp + `

In a command under 'dlm lock', which renews the session by itself, this begins the hold limit anew (the same one, unless
--hold-limit is given).

` + exitCodeHelp,
		Example: `  dlm renew
  dlm renew nightly --session 3652135817312042 --token 3652135817330689 --hold-limit 5m
  dlm renew || { echo "lost, stopping" >&2; exit 70; }`,
		Args:              maybeName("renew"),
		ValidArgsFunction: g.completeLock,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			if address, ok := insideLock(os.Getenv("DLM_LOCK")); ok && f.session == 0 && (name == "" || name == os.Getenv("DLM_LOCK")) {
				return g.renewInside(address, limit, out)
			}
			h, err := f.mustFind(name)
			if err != nil {
				return err
			}
			ctx, stop := untilSignal()
			defer stop()
			c, s, err := g.attach(ctx, h.session, client.WithConfirmByHand())
			if err != nil {
				return err
			}
			defer c.Leave()
			l := h.in(s)
			if l == nil {
				return h.lost(ctx, g, s)
			}
			v, err := g.renewHold(ctx, c, s, l, limit)
			if err != nil {
				return err
			}
			return out.print(v, holdTable(v))
		},
	}
	f.add(cmd)
	out.add(cmd)
	cmd.Flags().Var(someTime{duration{&limit}}, "hold-limit", "begin the hold limit anew, with this `duration` (default: it runs on)")
	return cmd
}

// renewInside is for a command under `dlm lock`.
func (g *globals) renewInside(address string, limit time.Duration, out format) error {
	token, err := numberFromEnv("DLM_TOKEN")
	if err != nil {
		return err
	}
	door, err := visit(address, token)
	if err != nil {
		return err
	}
	defer door.close()
	return g.withClient(func(ctx context.Context, c *client.Client) error {
		if _, err := door.send(ctx, errand{Op: "renew", Limit: limit}); err != nil {
			return err
		}
		v, ok, err := g.look(ctx, c, os.Getenv("DLM_LOCK"), token)
		if err == nil && !ok {
			err = &exitError{exitLost, fmt.Errorf("lock %q (token %d) was lost", os.Getenv("DLM_LOCK"), token)}
		}
		if err != nil {
			return err
		}
		return out.print(v, holdTable(v))
	})
}

// releaseView is what `release` prints.
type releaseView struct {
	Lock          string `json:"lock" doc:"that was released"`
	Token         uint64 `json:"token" doc:"of the hold"`
	Session       uint64 `json:"session" doc:"that held it"`
	SessionClosed bool   `json:"session_closed" doc:"whether it held nothing else"`
}

func newRelease(g *globals) *cobra.Command {
	f := &holdFlags{}
	var out format
	cmd := &cobra.Command{
		Use:   "release [NAME]",
		Short: "Give a script's lock back",
		Long: `Releases the lock, and closes the session if it holds nothing else. If an operator has revoked the lock, this confirms that the
script has stopped: the next holder gets it at once. Exits with 70 if the lock was lost before, and says why. A session that
was revoked as a whole cannot be taken over any more, so not be released either: the next holder waits for its lease.

` + exitCodeHelp,
		Example: `  dlm release
  dlm release nightly --session 3652135817312042 --token 3652135817330689`,
		Args:              maybeName("release"),
		ValidArgsFunction: g.completeLock,
		RunE: func(_ *cobra.Command, args []string) error {
			h, err := f.mustFind(strings.Join(args, ""))
			if err != nil {
				return err
			}
			v, err := g.runRelease(h)
			if err != nil {
				return err
			}
			return out.print(v, func(w io.Writer) {
				text := fmt.Sprintf("released %s (token %d)", human.Printable(v.Lock), v.Token)
				if v.SessionClosed {
					text += fmt.Sprintf(" and closed session %d", v.Session)
				}
				line(w, text)
			})
		},
	}
	f.add(cmd)
	out.add(cmd)
	return cmd
}

func (g *globals) runRelease(h hold) (releaseView, error) {
	ctx, stop := untilSignal()
	defer stop()
	v := releaseView{Lock: h.lock, Session: h.session}
	// Attaching without confirming by hand confirms what was revoked.
	c, s, err := g.attach(ctx, h.session)
	if err != nil {
		return v, err
	}
	defer c.Leave()
	l := h.in(s)
	v.Token = h.token
	ask, cancel := g.bounded(ctx)
	defer cancel()
	if l != nil {
		err = l.Unlock(ask)
	} else {
		err = h.lost(ctx, g, s)
	}
	if errors.Is(err, client.ErrRevoked) {
		err = &exitError{exitLost, fmt.Errorf("%s\nThat it is no longer used is confirmed: the next holder can have it", say(err))}
	}
	if len(s.Locks()) == 0 {
		closing := s.Close(ask)
		v.SessionClosed = closing == nil
		if err == nil && !errors.Is(closing, client.ErrLost) {
			err = closing
		}
	}
	return v, err
}
