package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dlm/cmd/internal/human"
	"dlm/grpcserver"
)

// backupView is a backup as printed.
type backupView struct {
	Backup      string  `json:"backup" doc:"its file, - for a stream"`
	Bytes       int64   `json:"bytes" doc:"its length"`
	ClusterID   string  `json:"cluster_id" doc:"of the cluster that it is of, in hexadecimal"`
	MemberID    string  `json:"member_id" doc:"of the server, in hexadecimal"`
	Index       uint64  `json:"index" doc:"position of the log: everything up to it is in the backup"`
	Term        uint64  `json:"term" doc:"of the log there"`
	ClusterTime float64 `json:"cluster_time_seconds" doc:"cluster time there"`
	LastToken   uint64  `json:"last_token" doc:"greatest token that was granted by then"`
	Files       uint64  `json:"files" doc:"in the backup"`
	FileBytes   uint64  `json:"file_bytes" doc:"of all of them"`
	Sessions    uint64  `json:"sessions" doc:"that were open; they are not in the backup"`
	Locks       uint64  `json:"locks" doc:"that were held, waited for or in lock-delay; they are not in the backup"`
}

func newBackupView(name string, bytes int64, h grpcserver.BackupHeader) backupView {
	return backupView{
		Backup: name, Bytes: bytes, ClusterID: fmt.Sprintf("%x", h.ClusterID), MemberID: fmt.Sprintf("%016x", h.MemberID),
		Index: h.Index, Term: h.Term, ClusterTime: secs(time.Duration(h.Stamp)), LastToken: h.LastToken, Files: h.Files, FileBytes: h.FileBytes,
		Sessions: h.Sessions, Locks: h.Locks,
	}
}

func (v backupView) table(w io.Writer) {
	pairs(w, "backup", human.Printable(v.Backup), "bytes", v.Bytes, "cluster", v.ClusterID, "member", v.MemberID, "index", v.Index,
		"term", v.Term, "cluster time", human.Span(time.Duration(v.ClusterTime*float64(time.Second))), "last token", v.LastToken,
		"files", fmt.Sprintf("%d of %d bytes", v.Files, v.FileBytes), "not in it", fmt.Sprintf("%s, %s", count(int(v.Sessions), "session"), count(int(v.Locks), "lock")))
}

func newBackup(g *globals) *cobra.Command {
	var out format
	var data string
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy a server's state and files while it runs",
		Long: `Writes a backup of the server to FILE: limits, counters and every file of the service, as they are at one position of the log, while
the server goes on serving. Sessions and locks are not in it: a restore ends them. FILE is - for standard output.

FILE gets its name when the backup is whole, on the disk and verified; until then it has another name beside it. An existing
file is kept, unless --force replaces it. On standard output the end of a backup that was cut off is missing: check it with
'dlm restore --check'.

With --data it copies the directory of a server that does not run. That recovers the directory, as a start of the server does.

Damage that is met is named, with file and place, and there is no backup then (exit code 74).`,
		Example: `  dlm backup dlm.backup
  dlm backup - | gzip > dlm.backup.gz
  dlm backup dlm.backup --data ./data --force`,
		Args: oneName("backup", "file"),
		RunE: func(_ *cobra.Command, args []string) error {
			ctx, stop := untilSignal()
			defer stop()
			take := func(w io.Writer) error {
				if data != "" {
					return backupDir(ctx, data, w)
				}
				c, err := g.dial()
				if err != nil {
					return err
				}
				defer func() { _ = c.Close() }()
				return c.Backup(ctx, w, g.connect)
			}
			if args[0] == "-" {
				return take(os.Stdout)
			}
			v, err := backupTo(args[0], force, take)
			if err != nil {
				if cause := context.Cause(ctx); cause != nil {
					return cause
				}
				return err
			}
			return out.print(v, v.table)
		},
	}
	out.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "copy this data `directory` of a server that does not run")
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	return cmd
}

func backupDir(ctx context.Context, dir string, w io.Writer) error {
	err := grpcserver.BackupDir(ctx, dir, func(b []byte) error { _, err := w.Write(b); return err })
	if errors.Is(err, grpcserver.ErrNoStore) {
		return &exitError{exitAbsent, fmt.Errorf("%s is no data directory of a server", human.Printable(dir))}
	}
	return err
}

// backupTo makes the file under another name, and gives it its own when it is whole, on the disk and verified.
func backupTo(name string, force bool, take func(io.Writer) error) (v backupView, err error) {
	exists := fmt.Errorf("%s exists already: take another name, or --force to replace it", human.Printable(name))
	if _, err := os.Lstat(name); err == nil && !force {
		return v, exists
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.tmp")
	if err != nil {
		return v, err
	}
	defer func() {
		_ = f.Close()
		if e := os.Remove(f.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	if err := take(f); err != nil {
		return v, err
	}
	if err := f.Sync(); err != nil {
		return v, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return v, err
	}
	h, err := grpcserver.CheckBackup(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return v, fmt.Errorf("what was written to %s does not read back: %w", filepath.Dir(name), err)
	}
	if force {
		err = os.Rename(f.Name(), name)
	} else if err = os.Link(f.Name(), name); errors.Is(err, fs.ErrExist) {
		err = exists
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	return newBackupView(name, size, h), err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// restoredView is what a restore has made, as printed.
type restoredView struct {
	Dir          string      `json:"dir" doc:"the data directory that was made"`
	Checked      bool        `json:"checked" doc:"the backup was only verified, nothing was made"`
	NewClusterID string      `json:"new_cluster_id,omitempty" doc:"of the cluster in it, in hexadecimal"`
	FirstToken   uint64      `json:"first_token,omitempty" doc:"least token that it will grant"`
	From         *backupView `json:"from" doc:"what the backup is of"`
}

func newRestore(*globals) *cobra.Command {
	var out format
	var data string
	var floor uint64
	var check bool
	cmd := &cobra.Command{
		Use:   "restore BACKUP",
		Short: "Make a data directory out of a backup",
		Long: `Makes the data directory of a server out of BACKUP, which 'dlm backup' has written (- for standard input). The directory must be
missing or empty. The server is then started on it as always.

What comes back: every file as it was, with the lock that guards it, and the limits. What does not: all that was appended or
changed after the backup, sessions, and locks. The cluster gets a new id, from which clients learn that what they held is lost.
Stop the old server for good first, and wait until the longest TTL has passed since then, or a client that is cut off may
still believe for that long that it holds a lock.

No token is granted twice: they go on above the backup's last one and above the wall clock's milliseconds times 2048. If
this machine's clock may be wrong, --token-floor says from where on, above every token that was ever granted.

--check only reads the backup, verifies all of it, and tells what it is of. Exits with 74 if it is damaged.`,
		Example: `  dlm restore dlm.backup --check
  dlm restore dlm.backup --data ./restored
  gunzip < dlm.backup.gz | dlm restore - --data ./restored`,
		Args: oneName("restore", "backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check == (data != "") {
				return usagef("restore: either --data says where to, or --check that nothing is to be made")
			}
			if check && floor != 0 {
				return usagef("restore: --token-floor does not go with --check")
			}
			if floor > grpcserver.MaxTokenFloor {
				return usagef("restore: --token-floor is at most %d, above which tokens are not exact in a float64", uint64(grpcserver.MaxTokenFloor))
			}
			v, err := restore(args[0], data, floor)
			if err != nil {
				return restoreError(err)
			}
			return out.print(v, v.table)
		},
	}
	out.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "`directory` to make: missing or empty")
	cmd.Flags().Uint64Var(&floor, "token-floor", 0, "grant no `token` below this one")
	cmd.Flags().BoolVar(&check, "check", false, "verify the backup and tell what it is of, make nothing")
	return cmd
}

func (v restoredView) table(w io.Writer) {
	v.From.table(w)
	if v.Checked {
		line(w)
		line(w, "the backup is whole")
		return
	}
	line(w)
	pairs(w, "restored to", human.Printable(v.Dir), "new cluster", v.NewClusterID, "first token", v.FirstToken)
}

// restore reads a file twice, so that damage is found before anything is made; a stream only once.
func restore(name, dir string, floor uint64) (v restoredView, err error) {
	v = restoredView{Dir: dir, Checked: dir == "", From: &backupView{Backup: name}}
	in := os.Stdin
	if name != "-" {
		if in, err = os.Open(name); err != nil {
			return v, err
		}
		defer func() { _ = in.Close() }()
	}
	count := &counter{r: in}
	if name != "-" || v.Checked {
		h, err := grpcserver.CheckBackup(bufio.NewReaderSize(count, 1<<20))
		if err != nil {
			return v, err
		}
		*v.From = newBackupView(name, count.n, h)
		if v.Checked {
			return v, nil
		}
		if _, err := in.Seek(0, io.SeekStart); err != nil {
			return v, err
		}
		count.n = 0
	}
	r, err := grpcserver.Restore(dir, bufio.NewReaderSize(count, 1<<20), floor)
	if err != nil {
		return v, err
	}
	*v.From = newBackupView(name, count.n, r.From)
	v.NewClusterID, v.FirstToken = fmt.Sprintf("%x", r.ClusterID), r.FirstToken
	return v, nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func restoreError(err error) error {
	switch {
	case errors.As(err, new(*grpcserver.BackupDamage)):
		return &exitError{exitDamaged, err}
	case errors.Is(err, grpcserver.ErrClock):
		return fmt.Errorf("%w (--token-floor)", err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: a restore needs an empty directory", err)
	}
	return err
}
