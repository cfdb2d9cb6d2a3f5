package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
)

// holdFlags say which hold of a script is meant. What is not given comes from the environment, as `acquire --export` set it.
type holdFlags struct {
	session, token uint64
}

func (f *holdFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(number{&f.session}, "session", "`id` of the session that holds the lock (default: DLM_SESSION)")
	flags.Var(number{&f.token}, "token", "the hold under token `number` (default: DLM_TOKEN, or else the one that the session has now)")
}

// hold is one that another process has acquired.
type hold struct {
	lock           string
	session, token uint64 // token 0 = whichever it is
}

// numberFromEnv is a variable's value; 0 if it is not set.
func numberFromEnv(name string) (uint64, error) {
	text := os.Getenv(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, usagef("the variable %s is %q, it must be a number", name, text)
	}
	return n, nil
}

// find says which hold is meant; name is "" if it was not given.
func (f *holdFlags) find(name string) (h hold, err error) {
	h = hold{lock: name, session: f.session, token: f.token}
	ours := os.Getenv("DLM_LOCK")
	if h.lock == "" {
		h.lock = ours
	}
	if h.lock == "" {
		return h, usagef("which lock? Give its name, or set DLM_LOCK as 'dlm acquire --export' does")
	}
	if h.session == 0 {
		if h.session, err = numberFromEnv("DLM_SESSION"); err != nil {
			return h, err
		}
		if h.token == 0 && h.lock == ours {
			h.token, err = numberFromEnv("DLM_TOKEN")
		}
	}
	return h, err
}

// mustFind is find for what needs a session.
func (f *holdFlags) mustFind(name string) (hold, error) {
	h, err := f.find(name)
	switch {
	case err != nil:
		return h, err
	case h.session == 0:
		return h, usagef("which session? Give --session, or set DLM_SESSION as 'dlm acquire --export' does")
	}
	return h, refuseOwn(h.session)
}

// refuseOwn refuses to take over the session of the `dlm lock` that this process runs under.
func refuseOwn(session uint64) error {
	if own, _ := numberFromEnv("DLM_SESSION"); session != 0 && session == own && os.Getenv(envDoor) != "" {
		return usagef("session %d belongs to the dlm lock that runs this command: taking it over would end the command", session)
	}
	return nil
}

// attach takes the session over for a moment; Client.Leave gives it back for its TTL. opts: WithConfirmByHand leaves it
// open whether the script has stopped what it did under a lock that was revoked.
func (g *globals) attach(ctx context.Context, session uint64, opts ...client.SessionOption) (*client.Client, *client.Session, error) {
	c, err := g.dial()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	s, err := c.AttachSession(ctx, session, opts...)
	if err != nil {
		c.Leave()
		return nil, nil, err
	}
	return c, s, nil
}

// in finds the hold among those of its session, and fills in the token. nil: it is not there.
func (h *hold) in(s *client.Session) *client.Lock {
	for _, l := range s.Locks() {
		if l.Name() == h.lock && (h.token == 0 || h.token == l.Token()) {
			h.token = l.Token()
			return l
		}
	}
	return nil
}

// lost is why the hold is not there.
func (h *hold) lost(ctx context.Context, g *globals, s *client.Session) error {
	if h.token == 0 {
		return &exitError{exitLost, fmt.Errorf("session %d does not hold %q\nTo learn why, name the token under which it did: --token or DLM_TOKEN", h.session, h.lock)}
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	_, err := s.Request(ctx, fmt.Sprintf("lock %q (token %d)", h.lock, h.token), renewal(h.lock, h.token, 0))
	if err == nil {
		err = fmt.Errorf("lock %q (token %d) is held, but session %d did not know", h.lock, h.token, h.session)
	}
	return err
}

func renewal(lock string, token uint64, limit time.Duration) *dlmv1.Request {
	return &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: lock, Token: token, HoldLimitNanos: uint64(limit)}}}
}

// holdView is a hold as printed.
type holdView struct {
	Lock     string  `json:"lock" doc:"its name"`
	Token    uint64  `json:"token" doc:"of the hold"`
	Session  uint64  `json:"session" doc:"that holds it"`
	Mode     string  `json:"mode" doc:"exclusive or shared"`
	LeftSecs float64 `json:"lease_seconds" doc:"until the hold ends unless it is renewed"`

	left    time.Duration
	limited bool
}

// look reads how long a hold will last; not there: false.
func (g *globals) look(ctx context.Context, c *client.Client, lock string, token uint64) (v holdView, ok bool, err error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	info, err := c.GetLock(ctx, lock)
	if err != nil {
		return v, false, err
	}
	for _, h := range info.GetHolders() {
		if h.GetToken() == token && !h.GetRevoked() {
			p := viewHolder(h, info.Stamp)
			return holdView{lock, token, p.Session, p.Mode, p.LeftSecs, p.left, p.limited}, true, nil
		}
	}
	return v, false, nil
}
