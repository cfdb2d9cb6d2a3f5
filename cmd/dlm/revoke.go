package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/cmd/internal/human"
)

// revokeView is what `revoke` prints.
type revokeView struct {
	Lock    string   `json:"lock,omitempty" doc:"that was revoked"`
	Session uint64   `json:"session,omitempty" doc:"that was revoked"`
	Tokens  []uint64 `json:"tokens" doc:"of the lock, that are invalid now"`
	Now     bool     `json:"now" doc:"whether without waiting"`
	// Blocked is how long, at most, a former holder still keeps the next one waiting.
	BlockedSecs float64 `json:"blocked_seconds" doc:"how long, at most, the next holder waits for a confirmation"`

	blocked time.Duration
}

// revokeFlags are what `revoke` was asked.
type revokeFlags struct {
	out            format
	session, token uint64
	now            bool
	why            string
}

func newRevoke(g *globals) *cobra.Command {
	var f revokeFlags
	cmd := &cobra.Command{
		Use:   "revoke NAME | revoke --session ID",
		Short: "Take a lock from its holder, or end a session",
		Long:  revokeLong + exitCodeHelp,
		Example: `  dlm revoke nightly --why "the report is wrong, call Ann"
  dlm revoke deploy --token 3652135817330689
  dlm revoke --session 3652135817312042 --why "host is being replaced"
  dlm revoke deploy --now --why "host is dead"`,
		Args:              f.check,
		ValidArgsFunction: g.completeLock,
		RunE:              func(_ *cobra.Command, args []string) error { return f.run(g, args) },
	}
	f.out.add(cmd)
	flags := cmd.Flags()
	flags.Var(number{&f.session}, "session", "end the session with this `id`")
	flags.Var(number{&f.token}, "token", "only the hold under token `number` (default: all holds of the lock)")
	flags.StringVar(&f.why, "why", "", "a reason, told to the holder and logged")
	flags.BoolVar(&f.now, "now", false, "do not wait until the holder has stopped: see the warning above")
	return cmd
}

const revokeLong = `Revokes the lock NAME from whoever holds it (or the one hold with --token), or ends a session with all that it holds and waits
for. The tokens are invalid at once: nothing is appended or renewed under them any more. The next holder waits until the
former one has confirmed that it stopped, at most until the lease ends that was running at the revoke. 'dlm lock' ends its
command (TERM, 2s later KILL) and then confirms.

--why is told to the holder. The server logs it with who asks (user, host and process).

WARNING: --now does not wait for the confirmation. The next holder may get the lock while the former one still works under
it: until it hears of the revoke, at the longest until its lease ends. Use it when you know that the holder is dead, or when everything that it touches checks tokens.

`

// check says what is wrong with the arguments, if anything is.
func (f *revokeFlags) check(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return fmt.Errorf("revoke: one lock at a time, not %d", len(args))
	case len(args) == 1 && f.session != 0:
		return fmt.Errorf("revoke: either the lock %q or session %d, not both; --token picks a hold of the lock", args[0], f.session)
	case len(args) == 0 && f.session == 0:
		return fmt.Errorf("revoke: which lock? Give its name, or --session: dlm %s", cmd.Use)
	case f.session != 0 && f.token != 0:
		return fmt.Errorf("revoke: --token is for a lock, a session is revoked as a whole")
	}
	return nil
}

func (f *revokeFlags) run(g *globals, args []string) error {
	opts := []client.RevokeOption{client.RevokeWhy(f.why), client.RevokeToken(f.token), client.RevokeBy(operator())}
	if f.now {
		opts = append(opts, client.RevokeNow())
	}
	v := revokeView{Session: f.session, Tokens: []uint64{}, Now: f.now}
	err := g.with(func(ctx context.Context, c *client.Client) error {
		if f.session != 0 {
			return v.revokeSession(ctx, c, opts)
		}
		v.Lock = args[0]
		return v.revokeLock(ctx, c, opts)
	})
	if err != nil {
		return err
	}
	v.BlockedSecs = secs(v.blocked)
	return f.out.print(v, v.table)
}

// operator is who asks, for the server's log: the user behind sudo, if there is one.
func operator() string {
	who := os.Getenv("SUDO_USER")
	if me, err := user.Current(); who == "" && err == nil {
		who = me.Username
	}
	if who == "" {
		who = strconv.Itoa(os.Getuid())
	}
	return who + "@" + label(os.Getpid())
}

func (v *revokeView) revokeLock(ctx context.Context, c *client.Client, opts []client.RevokeOption) error {
	losses, err := c.Revoke(ctx, v.Lock, opts...)
	if err != nil {
		return err
	}
	for _, l := range losses {
		v.Tokens = append(v.Tokens, l.GetToken())
	}
	info, err := c.GetLock(ctx, v.Lock)
	if err != nil {
		return err
	}
	for _, h := range info.GetHolders() {
		if p := viewHolder(h, info.Stamp); p.Revoked {
			v.blocked = max(v.blocked, p.left)
		}
	}
	return nil
}

func (v *revokeView) revokeSession(ctx context.Context, c *client.Client, opts []client.RevokeOption) error {
	if err := c.RevokeSession(ctx, v.Session, opts...); err != nil {
		return err
	}
	a, err := c.Query(ctx, "look at the session", &dlmv1.Read{Op: &dlmv1.Read_ListSessions{
		ListSessions: &dlmv1.ListSessions{After: v.Session - 1, Limit: 1},
	}})
	for _, s := range a.GetSessions() {
		if s.GetSession() == v.Session && s.GetHolds() > 0 {
			v.blocked = between(a.GetStamp(), s.GetSessionDeadline())
		}
	}
	return err
}

func (v *revokeView) table(w io.Writer) {
	if v.Session != 0 {
		line(w, fmt.Sprintf("revoked session %d", v.Session))
	}
	for _, t := range v.Tokens {
		line(w, fmt.Sprintf("revoked %s (token %d)", human.Printable(v.Lock), t))
	}
	if v.blocked > 0 {
		line(w, fmt.Sprintf("the next holder waits until the former one confirms, at most %s", human.Span(v.blocked)))
	}
}
