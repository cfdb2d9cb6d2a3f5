package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/spf13/cobra"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/cmd/internal/human"
)

// lockView is one lock as printed. Durations are in seconds of cluster time.
type lockView struct {
	Lock      string      `json:"lock" doc:"its name"`
	Holders   []partyView `json:"holders" doc:"in the order in which they were granted"`
	Waiters   []partyView `json:"waiters" doc:"in the order in which they will be granted"`
	DelaySecs float64     `json:"delay_seconds,omitempty" doc:"how long the lock-delay still keeps the lock from everybody"`

	delay time.Duration
}

// partyView is a holder or a waiter.
type partyView struct {
	Session     uint64  `json:"session" doc:"its id"`
	Label       string  `json:"label,omitempty" doc:"of the session"`
	Mode        string  `json:"mode" doc:"exclusive or shared"`
	Token       uint64  `json:"token,omitempty" doc:"of a holder"`
	Value       string  `json:"value,omitempty" doc:"of a holder, if it is UTF-8"`
	ValueBase64 string  `json:"value_base64,omitempty" doc:"of a holder, if it is not UTF-8"`
	AgeSecs     float64 `json:"age_seconds" doc:"since the grant, or since the wait began"`
	LeftSecs    float64 `json:"lease_seconds,omitempty" doc:"of a holder: until the hold ends unless it is renewed"`
	TimeoutSecs float64 `json:"timeout_seconds,omitempty" doc:"of a waiter with a wait timeout: until that passes"`
	Revoked     bool    `json:"revoked,omitempty" doc:"the token is invalid, the lock is blocked until that is confirmed or the lease ends"`

	value     []byte
	age, left time.Duration
	limited   bool // left is from a hold limit
}

// who is a party in words: its label and, if it tells more, its value.
func (p partyView) who() string {
	text := human.Printable(p.Label)
	if p.Label == "" {
		text = fmt.Sprintf("session %d", p.Session)
	}
	if v := string(p.value); v != "" && v != p.Label {
		text += " " + human.Printable(v)
	}
	return text
}

func viewHolder(h *dlmv1.Holder, stamp uint64) partyView {
	p := partyView{
		Session: h.GetSession(), Label: h.GetLabel(), Mode: modeName(h.GetMode()), Token: h.GetToken(), Revoked: h.GetRevoked(),
		value: h.GetValue(), age: between(h.GetGranted(), stamp), left: between(stamp, h.GetSessionDeadline()),
	}
	if hd := h.GetHoldDeadline(); hd != 0 && between(stamp, hd) <= p.left {
		p.left, p.limited = between(stamp, hd), !p.Revoked
	}
	p.Value, p.ValueBase64 = bytesView(h.GetValue())
	p.AgeSecs, p.LeftSecs = secs(p.age), secs(p.left)
	return p
}

func viewWaiter(w *dlmv1.Waiter, stamp uint64) partyView {
	p := partyView{
		Session: w.GetSession(), Label: w.GetLabel(), Mode: modeName(w.GetMode()),
		age: between(w.GetSince(), stamp),
	}
	if w.GetWaitDeadline() != 0 {
		p.left, p.limited = between(stamp, w.GetWaitDeadline()), true
		p.TimeoutSecs = secs(p.left)
	}
	p.AgeSecs = secs(p.age)
	return p
}

func viewLock(l client.LockInfo) lockView {
	v := lockView{Lock: l.GetLock(), Holders: []partyView{}, Waiters: []partyView{}, delay: between(l.Stamp, l.GetDelayedUntil())}
	v.DelaySecs = secs(v.delay)
	for _, h := range l.GetHolders() {
		v.Holders = append(v.Holders, viewHolder(h, l.Stamp))
	}
	for _, w := range l.GetWaiters() {
		v.Waiters = append(v.Waiters, viewWaiter(w, l.Stamp))
	}
	return v
}

func newLocks(g *globals) *cobra.Command {
	var out format
	var watch bool
	interval := time.Second
	cmd := &cobra.Command{
		Use:   "locks [PREFIX]",
		Short: "List locks: who holds them, since when, until when, and who waits",
		Long: `Lists the locks whose names begin with PREFIX (default: all) that are held, waited for or in lock-delay.

SINCE is how long ago a holder got the lock or a waiter began to wait. UNTIL is in how long the lease ends unless it is
renewed, the hold limit passes ("limit"), a revoke is final ("at most") or the wait times out ("timeout"). Times are cluster time, which stands still while no server
leads. The list is read page by page of 500; each page is the state of one instant.

With --watch the list is printed again and again: on a terminal in place, otherwise one after the other, with -o json as
one line each time.`,
		Example: `  dlm locks
  dlm locks db/ -o json
  timeout 2s dlm locks --watch -o json || true`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeLocks,
		RunE: func(_ *cobra.Command, args []string) error {
			prefix := ""
			if len(args) > 0 {
				prefix = args[0]
			}
			if watch {
				return g.watchLocks(prefix, out, interval)
			}
			return g.withClient(func(ctx context.Context, c *client.Client) error {
				locks, err := g.readLocks(ctx, c, prefix)
				if err != nil {
					return err
				}
				return out.print(locks, locksTable(locks))
			})
		},
	}
	out.add(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print the list again and again")
	cmd.Flags().Var(duration{&interval}, "interval", "how often --watch does")
	return cmd
}

func (g *globals) readLocks(ctx context.Context, c *client.Client, prefix string) ([]lockView, error) {
	locks := []lockView{}
	err := each(ctx, g, func(ctx context.Context) iter.Seq2[client.LockInfo, error] { return c.Locks(ctx, prefix) },
		func(l client.LockInfo) { locks = append(locks, viewLock(l)) })
	return locks, err
}

// watchLocks ends with a signal, or when no server answers within --connect-timeout.
func (g *globals) watchLocks(prefix string, out format, interval time.Duration) error {
	if interval < 100*time.Millisecond {
		return usagef("--interval %s: at least 100ms", human.Duration(interval))
	}
	c, err := g.dial()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ctx, stop := untilSignal()
	defer stop()
	for {
		locks, err := g.readLocks(ctx, c, prefix)
		if err != nil {
			return err
		}
		switch {
		case out == "json":
			err = writeJSON(os.Stdout, locks, "")
		case isTerminal(os.Stdout):
			fmt.Print("\x1b[H\x1b[2J")
			fallthrough
		default:
			fmt.Printf("%s  %s\n", time.Now().Format(time.TimeOnly), count(len(locks), "lock"))
			err = writeTable(os.Stdout, locksTable(locks))
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}

func locksTable(locks []lockView) func(w io.Writer) {
	return func(w io.Writer) {
		line(w, "LOCK", "STATE", "MODE", "TOKEN", "SESSION", "SINCE", "UNTIL", "WHO")
		for _, l := range locks {
			name := human.Printable(l.Lock)
			for _, p := range l.Holders {
				state := "held"
				if p.Revoked {
					state = "revoked"
				}
				line(w, name, state, p.Mode, p.Token, p.Session, human.Span(p.age)+" ago", p.until("limit"), p.who())
			}
			if len(l.Holders) == 0 && l.delay > 0 {
				line(w, name, "delayed", "-", "-", "-", "-", "in "+human.Span(l.delay), "-")
			}
			for _, p := range l.Waiters {
				line(w, name, "waiting", p.Mode, "-", p.Session, human.Span(p.age)+" ago", p.until("timeout"), p.who())
			}
		}
	}
}

// until is when a party will be there no more, unless it is renewed.
func (p partyView) until(limit string) string {
	switch {
	case p.limited:
		return "in " + human.Span(p.left) + " (" + limit + ")"
	case p.Revoked:
		return "in " + human.Span(p.left) + " at most"
	case p.Token == 0:
		return "-"
	}
	return "in " + human.Span(p.left)
}
