package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
)

// format is the -o flag.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json" }

func (f *format) Set(s string) error {
	if s != "table" && s != "json" {
		return errors.New("must be table or json")
	}
	*f = format(s)
	return nil
}

func (f *format) add(cmd *cobra.Command) {
	*f = "table"
	cmd.Flags().VarP(f, "output", "o", "how to print")
}

// with runs f with a client, within --connect-timeout for a single answer.
func (g *globals) with(f func(ctx context.Context, c *client.Client) error) error {
	c, err := g.dial()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), g.connect)
	defer cancel()
	return f(ctx, c)
}

// lockView is one lock as printed. Ages and times left are in seconds of cluster time.
type lockView struct {
	Lock      string      `json:"lock"`
	Holders   []partyView `json:"holders"`
	Waiters   []partyView `json:"waiters"`
	DelaySecs float64     `json:"delay_seconds,omitempty"`
}

type partyView struct {
	Session  uint64  `json:"session"`
	Label    string  `json:"label,omitempty"`
	Mode     string  `json:"mode"`
	Token    uint64  `json:"token,omitempty"`
	Value    string  `json:"value,omitempty"`
	AgeSecs  float64 `json:"age_seconds"`
	LeftSecs float64 `json:"lease_seconds,omitempty"`
	Revoked  bool    `json:"revoked,omitempty"`
}

func modeName(m dlmv1.Mode) string {
	return strings.ToLower(strings.TrimPrefix(m.String(), "MODE_"))
}

// between is b - a in seconds, 0 if that is not a duration.
func between(a, b uint64) float64 {
	if b < a || a == 0 && b == 0 {
		return 0
	}
	return (time.Duration(b-a) / time.Millisecond * time.Millisecond).Seconds()
}

func viewOf(l client.LockInfo) lockView {
	v := lockView{Lock: l.GetLock(), Holders: []partyView{}, Waiters: []partyView{}, DelaySecs: between(l.Stamp, l.GetDelayedUntil())}
	for _, h := range l.GetHolders() {
		end := h.GetSessionDeadline()
		if hd := h.GetHoldDeadline(); hd != 0 {
			end = min(end, hd)
		}
		v.Holders = append(v.Holders, partyView{
			Session: h.GetSession(), Label: h.GetLabel(), Mode: modeName(h.GetMode()), Token: h.GetToken(), Value: string(h.GetValue()),
			AgeSecs: between(h.GetGranted(), l.Stamp), LeftSecs: between(l.Stamp, end), Revoked: h.GetRevoked(),
		})
	}
	for _, w := range l.GetWaiters() {
		v.Waiters = append(v.Waiters, partyView{
			Session: w.GetSession(), Label: w.GetLabel(), Mode: modeName(w.GetMode()), AgeSecs: between(w.GetSince(), l.Stamp),
		})
	}
	return v
}

func newLocks(g *globals) *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "locks [PREFIX]",
		Short: "List locks, their holders and waiters",
		Example: `  dlm locks
  dlm locks db/ -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			prefix := strings.Join(args, "")
			return g.with(func(ctx context.Context, c *client.Client) error {
				locks := []lockView{}
				for l, err := range c.Locks(ctx, prefix) {
					if err != nil {
						return err
					}
					locks = append(locks, viewOf(l))
				}
				if out == "json" {
					return printJSON(locks)
				}
				return printLocks(locks)
			})
		},
	}
	out.add(cmd)
	return cmd
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func seconds(s float64) string {
	return (time.Duration(s*float64(time.Second)) / (100 * time.Millisecond) * (100 * time.Millisecond)).String()
}

func printLocks(locks []lockView) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "LOCK\tSTATE\tMODE\tTOKEN\tSESSION\tAGE\tLEASE\tWHO")
	for _, l := range locks {
		name := strconv.Quote(l.Lock)
		name = name[1 : len(name)-1] // control characters must not reach the terminal
		for _, p := range l.Holders {
			state := "held"
			if p.Revoked {
				state = "revoked"
			}
			who := strconv.Quote(p.Label)
			if p.Value != "" && p.Value != p.Label {
				who += " " + strconv.Quote(p.Value)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", name, state, p.Mode, p.Token, p.Session, seconds(p.AgeSecs), seconds(p.LeftSecs), who)
		}
		if len(l.Holders) == 0 && l.DelaySecs > 0 {
			fmt.Fprintf(w, "%s\tdelayed\t-\t-\t-\t-\t%s\t-\n", name, seconds(l.DelaySecs))
		}
		for _, p := range l.Waiters {
			fmt.Fprintf(w, "%s\twaiting\t%s\t-\t%d\t%s\t-\t%s\n", name, p.Mode, p.Session, seconds(p.AgeSecs), strconv.Quote(p.Label))
		}
	}
	return w.Flush()
}

// statusView is the status as printed.
type statusView struct {
	Server        string `json:"server"`
	Version       string `json:"version"`
	ClusterID     string `json:"cluster_id"`
	MemberID      uint64 `json:"member_id"`
	Term          uint64 `json:"term"`
	Index         uint64 `json:"index"`
	SnapshotIndex uint64 `json:"snapshot_index"`
	Sessions      uint64 `json:"sessions"`
	Locks         uint64 `json:"locks"`
	Waiters       uint64 `json:"waiters"`
	Files         uint64 `json:"files"`
	LastToken     uint64 `json:"last_token"`
}

func newStatus(g *globals) *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show the server and the size of its tables",
		Example: "  dlm status -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return g.with(func(ctx context.Context, c *client.Client) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				v := statusView{
					Server: g.server, Version: s.GetVersion(), ClusterID: hex.EncodeToString(s.GetClusterId()), MemberID: s.GetMemberId(),
					Term: s.GetTerm(), Index: s.GetIndex(), SnapshotIndex: s.GetSnapshotIndex(), Sessions: s.GetSessions(),
					Locks: s.GetLocks(), Waiters: s.GetWaiters(), Files: s.GetFiles(), LastToken: s.GetLastToken(),
				}
				if out == "json" {
					return printJSON(v)
				}
				return printStatus(v)
			})
		},
	}
	out.add(cmd)
	return cmd
}

func printStatus(v statusView) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, row := range []struct {
		name  string
		value any
	}{
		{"server", v.Server},
		{"version", v.Version},
		{"cluster", v.ClusterID},
		{"member", v.MemberID},
		{"term", v.Term},
		{"index", v.Index},
		{"snapshot", v.SnapshotIndex},
		{"sessions", v.Sessions},
		{"locks", v.Locks},
		{"waiters", v.Waiters},
		{"files", v.Files},
		{"last token", v.LastToken},
	} {
		fmt.Fprintf(w, "%s\t%v\n", row.name, row.value)
	}
	return w.Flush()
}

func newCat(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "cat FILE",
		Short:   "Print a file of the service",
		Example: "  dlm cat journal | tail",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := g.dial()
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			return g.cat(c, args[0])
		},
	}
}

// cat gives every read --connect-timeout, however long the file is.
func (g *globals) cat(c *client.Client, name string) error {
	var offset uint64
	for {
		ctx, cancel := context.WithTimeout(context.Background(), g.connect)
		a, err := c.Query(ctx, fmt.Sprintf("read %q at %d", name, offset),
			&dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: name, Offset: offset, Bytes: 256 << 10}}})
		cancel()
		if err != nil {
			return err
		}
		if len(a.GetData()) == 0 {
			return nil
		}
		offset += uint64(len(a.GetData()))
		if _, err := os.Stdout.Write(a.GetData()); err != nil {
			return err
		}
	}
}

// chunkBytes is how much `append` sends at once.
const chunkBytes = 256 << 10

func newAppend(g *globals) *cobra.Command {
	f := &lockFlags{}
	var data string
	var out format
	cmd := &cobra.Command{
		Use:   "append NAME FILE",
		Short: "Append to a file of the service under a lock",
		Long: `Acquires the lock NAME, appends standard input (or --data) to FILE, and releases the lock. The first append binds FILE to
NAME. More than 256 KiB go in several appends, one after the other under the same hold.

` + exitCodeHelp,
		Example: `  dlm append journal-lock journal --data 'one line
'
  ./report.sh | dlm append reports today.txt`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := f.options(cmd)
			if err != nil {
				return err
			}
			var in io.Reader = os.Stdin
			if cmd.Flags().Changed("data") {
				in = strings.NewReader(data)
			}
			return runAppend(g, f, args[0], args[1], in, out, opts)
		},
	}
	f.add(cmd)
	out.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "what to append, instead of standard input")
	return cmd
}

// appendView is what `append` prints.
type appendView struct {
	File   string `json:"file"`
	Lock   string `json:"lock"`
	Token  uint64 `json:"token"`
	Offset uint64 `json:"offset"`
	Bytes  uint64 `json:"bytes"`
}

func runAppend(g *globals, f *lockFlags, name, file string, in io.Reader, out format, opts []client.LockOption) error {
	ctx, stop := untilSignal()
	defer stop()
	c, l, err := acquire(ctx, g, f, name, opts)
	if err != nil {
		return interrupted(err)
	}
	defer func() { _ = c.Close() }()
	defer release(l, releaseTimeout)
	v := appendView{File: file, Lock: name, Token: l.Token()}
	buf := make([]byte, chunkBytes)
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 {
			offset, err := l.Append(ctx, file, buf[:n])
			if err != nil {
				return interrupted(fmt.Errorf("%w (%d bytes were appended)", err, v.Bytes))
			}
			if v.Bytes == 0 {
				v.Offset = offset
			}
			v.Bytes += uint64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	if out == "json" {
		return printJSON(v)
	}
	if _, err := fmt.Printf("%d bytes at offset %d of %s (token %d)\n", v.Bytes, v.Offset, v.File, v.Token); err != nil {
		return fmt.Errorf("the data was appended (%d bytes at offset %d, token %d), but that could not be printed: %w", v.Bytes, v.Offset, v.Token, err)
	}
	return nil
}
