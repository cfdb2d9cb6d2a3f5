package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dlm/client"
	"dlm/cmd/internal/human"
)

// open begins a session.
func (g *globals) open(ctx context.Context, ttl time.Duration, pid int) (*client.Client, *client.Session, error) {
	c, err := g.dial()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	s, err := c.OpenSession(ctx, client.WithTTL(ttl), client.WithLabel(label(pid)), client.WithConfirmByHand())
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, s, nil
}

// take acquires a lock, and shows on a terminal that it waits. An error says who has the lock, if that is why.
func (g *globals) take(ctx context.Context, c *client.Client, s *client.Session, name string, opts []client.LockOption) (*client.Lock, error) {
	stop := g.showWait(ctx, c, s, name)
	l, err := s.Lock(ctx, name, opts...)
	stop()
	switch {
	case errors.Is(err, client.ErrExpired):
		// Waiting, we heard nothing for a whole TTL.
		return nil, &exitError{exitUnreachable, err}
	case errors.Is(err, client.ErrNotAcquired), errors.Is(err, client.ErrWaitTimeout):
		ctx, cancel := g.bounded(ctx)
		defer cancel()
		if info, e := c.GetLock(ctx, name); e == nil {
			err = fmt.Errorf("%w\n%s", err, capital(describe(info)))
		}
	}
	return l, err
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// describe says in a sentence who has a lock and how many wait.
func describe(l client.LockInfo) string {
	text := "it is free now"
	switch holders := l.GetHolders(); {
	case len(holders) > 0:
		h := viewHolder(holders[0], l.Stamp)
		text = fmt.Sprintf("it is held by %s for %s (lease ends in %s, token %d)", h.who(), human.Span(h.age), human.Span(h.left), h.Token)
		if h.Revoked {
			text = fmt.Sprintf("it was revoked from %s, who has not confirmed yet (at most %s)", h.who(), human.Span(h.left))
		}
		if n := len(holders) - 1; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
	case between(l.Stamp, l.GetDelayedUntil()) > 0:
		text = fmt.Sprintf("its holder lost it, its lock-delay ends in %s", human.Span(between(l.Stamp, l.GetDelayedUntil())))
	}
	switch n := len(l.GetWaiters()); n {
	case 0:
		return text
	case 1:
		return text + "; 1 waits"
	default:
		return fmt.Sprintf("%s; %d wait", text, n)
	}
}

// Nothing is shown of a wait that is shorter than patience.
const patience = 500 * time.Millisecond

// showWait says, on a terminal, for whom we wait and how long, until stop is called. Elsewhere it only says if we wait for
// ourselves: that does not end.
func (g *globals) showWait(ctx context.Context, c *client.Client, s *client.Session, name string) (stop func()) {
	line := &statusLine{}
	if !line.shown() && os.Getenv("DLM_TOKEN") == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		defer line.clear()
		// A long queue is a long answer: who waits for long asks less often.
		for next := patience; ; next = min(time.Second+time.Since(began)/30, 10*time.Second) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(next):
			}
			ask, enough := context.WithTimeout(ctx, 2*time.Second)
			info, err := c.GetLock(ask, name)
			enough()
			if ctx.Err() != nil {
				return
			}
			if next == patience && err == nil && heldAbove(info) {
				line.clear()
				fmt.Fprintf(os.Stderr, "dlm: lock %q is held under the token in DLM_TOKEN, by this script or who started it: waiting until that is released\n", name)
			}
			if !line.shown() {
				return
			}
			line.set(fmt.Sprintf("dlm: waiting %s for %q%s", human.Span(time.Since(began)), name, whom(info, err, s.ID())))
		}
	}()
	return func() { cancel(); <-done }
}

// heldAbove: the holder is who started us.
func heldAbove(l client.LockInfo) bool {
	token, err := strconv.ParseUint(os.Getenv("DLM_TOKEN"), 10, 64)
	if err != nil || os.Getenv("DLM_LOCK") != l.GetLock() {
		return false
	}
	for _, h := range l.GetHolders() {
		if h.GetToken() == token {
			return true
		}
	}
	return false
}

// whom is the reason to wait, the longest part last: the line may be cut.
func whom(l client.LockInfo, err error, session uint64) string {
	if err != nil {
		return ": no server answers"
	}
	text, ahead := "", 0
	for _, w := range l.GetWaiters() {
		if w.GetSession() == session {
			break
		}
		ahead++
	}
	if ahead > 0 {
		text = fmt.Sprintf(", %d before us", ahead)
	}
	holders := l.GetHolders()
	if len(holders) == 0 {
		return text
	}
	h := viewHolder(holders[0], l.Stamp)
	state := "held"
	if h.Revoked {
		state = "revoked, held"
	}
	text += fmt.Sprintf(": %s %s (lease %s) by ", state, human.Span(h.age), human.Span(h.left))
	if n := len(holders) - 1; n > 0 {
		text += fmt.Sprintf("%d others and ", n)
	}
	return text + h.who()
}

// showSilence says, on a terminal, that no server answers, until ctx has ended.
func (g *globals) showSilence(ctx context.Context) (stop func()) {
	line := &statusLine{}
	if !line.shown() {
		return func() {}
	}
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		defer line.clear()
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(patience):
			}
			if ctx.Err() == nil {
				line.set(fmt.Sprintf("dlm: no answer from %s for %s", g.server, human.Span(time.Since(began))))
			}
		}
	}()
	return func() { <-done }
}

// statusLine is a line on the terminal that is written over; nowhere if standard error is none.
type statusLine struct{ dirty bool }

func (s *statusLine) shown() bool { return isTerminal(os.Stderr) }

func (s *statusLine) set(text string) {
	if width := terminalWidth(os.Stderr); len([]rune(text)) >= width {
		text = string([]rune(text)[:max(width-1, 0)])
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text)
	s.dirty = true
}

func (s *statusLine) clear() {
	if s.dirty {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		s.dirty = false
	}
}

// releaseTimeout bounds how long a finished dlm still tries to say so. After it the lock ends with its TTL.
const releaseTimeout = 3 * time.Second

// release closes the session: that releases the lock, and confirms a revoke. A lock that is not released is no reason to
// hide the command's exit code.
func release(l *client.Lock, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Session().Close(ctx); err != nil && !errors.Is(err, client.ErrLost) {
		fmt.Fprintf(os.Stderr, "dlm: the lock could not be released, it ends with its TTL: %s\n", say(err))
	}
}

// signalCause is the cause of a context that a signal ended.
type signalCause struct{ sig syscall.Signal }

func (s *signalCause) Error() string {
	return "ended by signal " + strconv.Itoa(int(s.sig)) + ", " + s.sig.String()
}

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
