package main

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"dlm/client"
	"dlm/cmd/internal/human"
)

// sessionView is one session as printed. Durations are in seconds of cluster time.
type sessionView struct {
	Session  uint64  `json:"session" doc:"its id"`
	Label    string  `json:"label" doc:"who it is"`
	Instance uint64  `json:"instance" doc:"how many processes had it so far"`
	TTLSecs  float64 `json:"ttl_seconds" doc:"its TTL"`
	AgeSecs  float64 `json:"age_seconds" doc:"since it was opened"`
	LeftSecs float64 `json:"lease_seconds" doc:"until it ends unless it is renewed"`
	Holds    uint64  `json:"holds" doc:"locks that it holds"`
	Waits    uint64  `json:"waits" doc:"locks that it waits for"`
	Revoked  bool    `json:"revoked" doc:"an operator has ended it, it is not closed yet"`

	ttl, age, left time.Duration
}

func viewSession(s client.SessionInfo) sessionView {
	v := sessionView{
		Session: s.GetSession(), Label: s.GetLabel(), Instance: s.GetInstance(), Holds: s.GetHolds(), Waits: s.GetWaits(),
		Revoked: s.GetRevoked(), ttl: time.Duration(s.GetTtlNanos()), age: between(s.GetOpened(), s.Stamp),
		left: between(s.Stamp, s.GetSessionDeadline()),
	}
	v.TTLSecs, v.AgeSecs, v.LeftSecs = secs(v.ttl), secs(v.age), secs(v.left)
	return v
}

func newSessions(g *globals) *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List sessions: whose they are and how long they last",
		Long: `Lists the open sessions. INSTANCE counts the processes that had the session one after the other (attach). UNTIL is in how long
it ends unless it is renewed; its holds end with it.`,
		Example: `  dlm sessions
  dlm sessions -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			return g.withClient(func(ctx context.Context, c *client.Client) error {
				sessions, err := g.readSessions(ctx, c)
				if err != nil {
					return err
				}
				return out.print(sessions, func(w io.Writer) {
					line(w, "SESSION", "STATE", "HOLDS", "WAITS", "OPENED", "UNTIL", "TTL", "INSTANCE", "LABEL")
					for _, s := range sessions {
						state := "open"
						if s.Revoked {
							state = "revoked"
						}
						line(w, s.Session, state, s.Holds, s.Waits, human.Span(s.age)+" ago", "in "+human.Span(s.left),
							human.Duration(s.ttl), s.Instance, human.Printable(s.Label))
					}
				})
			})
		},
	}
	out.add(cmd)
	return cmd
}

func (g *globals) readSessions(ctx context.Context, c *client.Client) ([]sessionView, error) {
	sessions := []sessionView{}
	err := each(ctx, g, func(ctx context.Context) iter.Seq2[client.SessionInfo, error] { return c.Sessions(ctx) },
		func(s client.SessionInfo) { sessions = append(sessions, viewSession(s)) })
	return sessions, err
}
