package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dlm/cmd/internal/human"
	"dlm/grpcserver/inspect"
)

func newDebug(*globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "debug",
		Short:   "Look into a server's data directory",
		Long:    `Looks into a server's data directory while no server runs on it.`,
		Example: `  dlm debug wal ./data`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDebugWAL())
	return cmd
}

// walView is a data directory as printed.
type walView struct {
	Dir        string         `json:"dir" doc:"that was read"`
	OK         bool           `json:"ok" doc:"a server would start on it, and nothing was found damaged"`
	Damage     []damageView   `json:"damage" doc:"what is wrong"`
	State      *stateView     `json:"state,omitempty" doc:"what a server would recover"`
	Snapshots  []snapshotView `json:"snapshots" doc:"of the lock table; the last one counts"`
	Segments   []segmentView  `json:"segments" doc:"of the log"`
	Files      []dataFileView `json:"files" doc:"that the last snapshot counts on"`
	Unfinished []string       `json:"unfinished" doc:"files that were being made, or removed; a server removes them"`
}

type damageView struct {
	File   string `json:"file" doc:"where it is"`
	Offset int64  `json:"offset" doc:"in bytes from its start"`
	Why    string `json:"why" doc:"what is wrong there"`
	Advice string `json:"advice,omitempty" doc:"what can be done"`
}

type stateView struct {
	ClusterID   string  `json:"cluster_id" doc:"in hexadecimal"`
	MemberID    string  `json:"member_id" doc:"in hexadecimal"`
	Term        uint64  `json:"term" doc:"of the log"`
	Index       uint64  `json:"index" doc:"of the last entry"`
	ClusterTime float64 `json:"cluster_time_seconds" doc:"cluster time at the last entry"`
	Sealed      bool    `json:"sealed" doc:"the last run was stopped in order"`
	TornBytes   int64   `json:"torn_bytes" doc:"of a batch that was being written when the last run ended, which nobody was told of"`
	Sessions    uint64  `json:"sessions" doc:"that are open"`
	Locks       uint64  `json:"locks" doc:"that are held, waited for or in lock-delay"`
	Waiters     uint64  `json:"waiters" doc:"of all locks"`
	Files       uint64  `json:"files" doc:"that there are"`
	LastToken   uint64  `json:"last_token" doc:"greatest token that was granted"`
}

type snapshotView struct {
	File  string `json:"file" doc:"its name in the directory"`
	Bytes int64  `json:"bytes" doc:"its length"`
	Index uint64 `json:"index" doc:"of the last entry that is in it"`
	Term  uint64 `json:"term" doc:"of that entry"`
	State string `json:"state" doc:"newest, older or damaged"`
}

type segmentView struct {
	File    string `json:"file" doc:"its name in the directory"`
	Bytes   int64  `json:"bytes" doc:"its length"`
	Used    int64  `json:"used" doc:"where its last frame ends"`
	Frames  int    `json:"frames" doc:"batches and marks"`
	Entries int    `json:"entries" doc:"in its batches"`
	First   uint64 `json:"first" doc:"index of the first entry, 0 without any"`
	Last    uint64 `json:"last" doc:"index of the last entry, 0 without any"`
	State   string `json:"state" doc:"good, sealed (stopped in order), torn (an unfinished batch at its end, which is no damage), leftover (no longer needed) or damaged"`
}

type dataFileView struct {
	File   string `json:"file" doc:"its name in the directory"`
	Name   string `json:"name" doc:"its name for clients"`
	Lock   string `json:"lock" doc:"that guards it"`
	Length uint64 `json:"length" doc:"as of the last snapshot; what was appended later is in the log"`
	State  string `json:"state" doc:"good or damaged"`
}

func newDebugWAL() *cobra.Command {
	var out format
	var records bool
	cmd := &cobra.Command{
		Use:   "wal DIR",
		Short: "Read a data directory: segments, snapshots, files, and what is damaged where",
		Long: `Reads a server's data directory and changes nothing in it: the snapshots of the lock table, the segments of the log, the data
files with all their checksums, and what a server would recover from them. It refuses to while a server has the directory,
and no server can start on it meanwhile.

Exits with 74 if something is damaged, and says which file, where, and what can be done; with 73 if there is no data
directory of a server.

--records also prints every entry of the log, those that later ones replaced included.`,
		Example: `  dlm debug wal ./data
  dlm debug wal ./data --records
  dlm debug wal ./data -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("debug wal: one directory is needed: dlm debug %s", cmd.Use)
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error { return runDebugWAL(args[0], out, records) },
	}
	out.add(cmd)
	cmd.Flags().BoolVar(&records, "records", false, "print the log's entries first; with -o json one object a line")
	return cmd
}

func runDebugWAL(dir string, out format, records bool) error {
	var visit func(inspect.Entry)
	var failed error
	if records {
		visit = func(e inspect.Entry) {
			if failed == nil {
				failed = printEntry(os.Stdout, out, e)
			}
		}
	}
	r, err := inspect.Inspect(dir, visit)
	switch {
	case errors.Is(err, inspect.ErrNoStore):
		return &exitError{exitAbsent, fmt.Errorf("%s is no data directory of a server", human.Printable(dir))}
	case errors.Is(err, inspect.ErrInUse):
		return fmt.Errorf("%w: stop that server first, or ask it with 'dlm status'", err)
	case err != nil || failed != nil:
		return errors.Join(err, failed)
	}
	v := viewWAL(dir, r)
	if err := out.print(v, v.table); err != nil {
		return err
	}
	if !v.OK {
		return &exitError{exitDamaged, nil}
	}
	return nil
}

func viewWAL(dir string, r *inspect.Report) walView {
	v := walView{
		Dir: dir, OK: len(r.Damage) == 0, Damage: []damageView{}, Snapshots: []snapshotView{}, Segments: []segmentView{},
		Files: []dataFileView{}, Unfinished: append([]string{}, r.Temporaries...),
	}
	for _, d := range r.Damage {
		v.Damage = append(v.Damage, damageView(d))
	}
	if st := r.State; st != nil {
		v.State = &stateView{
			ClusterID: fmt.Sprintf("%x", st.GetClusterId()), MemberID: fmt.Sprintf("%016x", st.GetMemberId()), Term: st.GetTerm(), Index: st.GetIndex(),
			ClusterTime: secs(r.Time), Sealed: r.Recovered.Report.Sealed, TornBytes: r.Recovered.Report.TornBytes,
			Sessions: st.GetSessions(), Locks: st.GetLocks(), Waiters: st.GetWaiters(), Files: st.GetFiles(), LastToken: st.GetLastToken(),
		}
	}
	for i, s := range r.Snapshots {
		state := "older"
		switch {
		case s.Err != nil:
			state = "damaged"
		case i == len(r.Snapshots)-1:
			state = "newest"
		}
		v.Snapshots = append(v.Snapshots, snapshotView{filepath.Base(s.File), s.Bytes, s.Index, s.Term, state})
	}
	for _, s := range r.Segments {
		state := "good"
		switch {
		case s.Err != nil:
			state = "damaged"
		case s.Leftover:
			state = "leftover"
		case s.TornBytes > 0:
			state = "torn"
		case s.Sealed:
			state = "sealed"
		}
		v.Segments = append(v.Segments, segmentView{filepath.Base(s.File), s.Bytes, s.Used, s.Frames, s.Entries, s.First, s.Last, state})
	}
	for _, f := range r.Files {
		state := "good"
		if f.Damaged {
			state = "damaged"
		}
		v.Files = append(v.Files, dataFileView{fmt.Sprintf("files/%016x", f.ID), f.Name, f.Lock, f.Length, state})
	}
	return v
}

func (v walView) table(w io.Writer) {
	if st := v.State; st != nil {
		end := "it was not stopped in order"
		if st.Sealed {
			end = "it was stopped in order"
		}
		if st.TornBytes > 0 {
			end += fmt.Sprintf("; %d bytes of an unfinished batch follow the log, which is no damage", st.TornBytes)
		}
		pairs(w, "cluster", st.ClusterID, "member", st.MemberID, "term", st.Term, "index", st.Index,
			"cluster time", human.Span(time.Duration(st.ClusterTime*float64(time.Second))), "sessions", st.Sessions, "locks", st.Locks,
			"waiters", st.Waiters, "files", st.Files, "last token", st.LastToken, "end", end)
		line(w)
	}
	line(w, "SNAPSHOT", "BYTES", "INDEX", "TERM", "STATE")
	for _, s := range v.Snapshots {
		line(w, s.File, s.Bytes, s.Index, s.Term, s.State)
	}
	line(w)
	line(w, "SEGMENT", "BYTES", "USED", "FRAMES", "ENTRIES", "INDEXES", "STATE")
	for _, s := range v.Segments {
		indexes := "-"
		if s.Entries > 0 {
			indexes = fmt.Sprintf("%d-%d", s.First, s.Last)
		}
		line(w, s.File, s.Bytes, s.Used, s.Frames, s.Entries, indexes, s.State)
	}
	if len(v.Files) > 0 {
		line(w)
		line(w, "DATA FILE", "NAME", "LOCK", "LENGTH", "STATE")
		for _, f := range v.Files {
			line(w, f.File, human.Printable(f.Name), human.Printable(f.Lock), f.Length, f.State)
		}
	}
	for _, name := range v.Unfinished {
		line(w)
		line(w, name+" was being made, or removed, and is not needed")
	}
	line(w)
	if v.OK {
		line(w, "nothing is damaged")
	}
	for _, d := range v.Damage {
		line(w, fmt.Sprintf("DAMAGED: %s at offset %d: %s", d.File, d.Offset, d.Why))
		if d.Advice != "" {
			line(w, "         "+d.Advice)
		}
	}
}
