package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"dlm/client"
)

// statusView is the status as printed. Ids are in hexadecimal, as in the server's log.
type statusView struct {
	Server        string `json:"server" doc:"the address that was asked"`
	Version       string `json:"version" doc:"of the server"`
	ClusterID     string `json:"cluster_id" doc:"in hexadecimal, as in the log"`
	MemberID      string `json:"member_id" doc:"in hexadecimal, as in the log"`
	Term          uint64 `json:"term" doc:"of the log"`
	Index         uint64 `json:"index" doc:"last position of the log that was applied"`
	SnapshotIndex uint64 `json:"snapshot_index" doc:"position up to which the log is no longer needed"`
	Sessions      uint64 `json:"sessions" doc:"that are open"`
	Locks         uint64 `json:"locks" doc:"that are held, waited for or in lock-delay"`
	Waiters       uint64 `json:"waiters" doc:"of all locks"`
	Files         uint64 `json:"files" doc:"that there are"`
	LastToken     uint64 `json:"last_token" doc:"greatest token that was granted"`
}

func newStatus(g *globals) *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the server and the size of its tables",
		Long: `Shows the server that answers and how much there is of everything. Index and term are positions in the log; the snapshot is the
position up to which the log is no longer needed.`,
		Example: `  dlm status
  dlm status -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			return g.with(func(ctx context.Context, c *client.Client) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				v := statusView{
					Server: g.server, Version: s.GetVersion(), ClusterID: hex.EncodeToString(s.GetClusterId()), MemberID: fmt.Sprintf("%016x", s.GetMemberId()),
					Term: s.GetTerm(), Index: s.GetIndex(), SnapshotIndex: s.GetSnapshotIndex(), Sessions: s.GetSessions(),
					Locks: s.GetLocks(), Waiters: s.GetWaiters(), Files: s.GetFiles(), LastToken: s.GetLastToken(),
				}
				return out.print(v, func(w io.Writer) {
					pairs(w, "server", v.Server, "version", v.Version, "cluster", v.ClusterID, "member", v.MemberID, "term", v.Term,
						"index", v.Index, "snapshot", v.SnapshotIndex, "sessions", v.Sessions, "locks", v.Locks,
						"waiters", v.Waiters, "files", v.Files, "last token", v.LastToken)
				})
			})
		},
	}
	out.add(cmd)
	return cmd
}
