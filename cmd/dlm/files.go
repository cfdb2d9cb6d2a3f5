package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/cmd/internal/human"
)

// fileView is one file as printed.
type fileView struct {
	File     string `json:"file" doc:"its name"`
	Lock     string `json:"lock" doc:"that guards it"`
	Length   uint64 `json:"length" doc:"in bytes"`
	Checksum string `json:"crc32c" doc:"of all its bytes, in hexadecimal"`
}

func newFiles(g *globals) *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "files [PREFIX]",
		Short: "List files, and the locks that guard them",
		Long: `Lists the files whose names begin with PREFIX (default: all): the lock that guards each (that of its first append), its length in
bytes, and the CRC-32C of all its bytes.`,
		Example: `  dlm files
  dlm files logs/ -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			return g.withClient(func(ctx context.Context, c *client.Client) error {
				files, err := g.readFiles(ctx, c, strings.Join(args, ""))
				if err != nil {
					return err
				}
				return out.print(files, func(w io.Writer) {
					line(w, "FILE", "LOCK", "LENGTH", "CRC-32C")
					for _, f := range files {
						line(w, human.Printable(f.File), human.Printable(f.Lock), f.Length, f.Checksum)
					}
				})
			})
		},
	}
	out.add(cmd)
	return cmd
}

func (g *globals) readFiles(ctx context.Context, c *client.Client, prefix string) ([]fileView, error) {
	files := []fileView{}
	err := each(ctx, g, func(ctx context.Context) iter.Seq2[*dlmv1.FileInfo, error] { return c.Files(ctx, prefix) },
		func(f *dlmv1.FileInfo) {
			files = append(files, fileView{f.GetFile(), f.GetLock(), f.GetLength(), fmt.Sprintf("%08x", f.GetChecksum())})
		})
	return files, err
}

// pollFile is how often `cat -f` looks for more.
const pollFile = 300 * time.Millisecond

func newCat(g *globals) *cobra.Command {
	var follow bool
	var offset uint64
	cmd := &cobra.Command{
		Use:   "cat FILE",
		Short: "Print a file of the service",
		Long: `Prints the bytes of FILE as they are. Each piece is read as of one instant and verified by its checksums.

With -f it goes on printing what is appended, until it is interrupted, the file is removed (exit code 73), or no server answers
within --connect-timeout (72).`,
		Example: `  dlm cat journal.log
  dlm cat journal.log --offset 4096 | tail
  timeout 2s dlm cat -f journal.log || true`,
		Args:              oneName("cat", "file"),
		ValidArgsFunction: g.completeFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			return g.withClient(func(ctx context.Context, c *client.Client) error {
				return g.cat(ctx, c, args[0], offset, follow)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is appended")
	cmd.Flags().Uint64Var(&offset, "offset", 0, "begin after this many `bytes`")
	return cmd
}

// cat gives every read --connect-timeout, however long the file is.
func (g *globals) cat(ctx context.Context, c *client.Client, name string, offset uint64, follow bool) error {
	for {
		ask, cancel := g.bounded(ctx)
		a, err := c.Query(ask, fmt.Sprintf("read %q at %d", name, offset),
			&dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: name, Offset: offset, Bytes: chunkBytes}}})
		cancel()
		if err != nil {
			return err
		}
		if length := a.GetFiles()[0].GetLength(); length < offset {
			return &exitError{exitAbsent, fmt.Errorf("%q has %d bytes, there is nothing at %d (was it removed and made anew?)", name, length, offset)}
		}
		if _, err := os.Stdout.Write(a.GetData()); err != nil {
			return err
		}
		offset += uint64(len(a.GetData()))
		if len(a.GetData()) > 0 {
			continue
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollFile):
		}
	}
}

// chunkBytes is how much of a file is sent or read at once.
const chunkBytes = 256 << 10

// guard is the hold under which a file is changed: one that is taken for it, or that a script or dlm lock has.
type guard struct {
	lock  string
	token uint64
	send  func(ctx context.Context, e errand) (offset uint64, err error)
	end   func()
}

// guard finds the hold that the environment or the flags name, or takes the lock.
func (g *globals) guard(ctx context.Context, cmd *cobra.Command, name string, f *lockFlags, h *holdFlags) (*guard, error) {
	if address, ok := insideLock(name); ok && h.session == 0 {
		token, err := numberFromEnv("DLM_TOKEN")
		if h.token != 0 {
			token = h.token
		}
		if err != nil {
			return nil, err
		}
		v, err := visit(address, token)
		if err != nil {
			return nil, err
		}
		return &guard{name, token, v.send, v.close}, nil
	}
	held, err := h.find(name)
	if err != nil {
		return nil, err
	}
	if h.session != 0 || held.session != 0 && os.Getenv("DLM_LOCK") == name {
		return g.scriptGuard(ctx, held)
	}
	opts, err := f.options(cmd, os.Getpid())
	if err != nil {
		return nil, err
	}
	c, s, err := g.open(ctx, f.ttl, os.Getpid())
	if err != nil {
		return nil, err
	}
	l, err := g.take(ctx, c, s, name, opts)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return &guard{name, l.Token(), sender(s, name, l.Token()), func() { release(l, releaseTimeout); _ = c.Close() }}, nil
}

// scriptGuard is the hold of a session that `dlm acquire` has left. What became of it the server says at each change.
func (g *globals) scriptGuard(ctx context.Context, h hold) (*guard, error) {
	if err := refuseOwn(h.session); err != nil {
		return nil, err
	}
	c, s, err := g.attach(ctx, h.session, client.WithConfirmByHand())
	if err != nil {
		return nil, err
	}
	if h.in(s) == nil && h.token == 0 {
		c.Leave()
		return nil, h.lost(ctx, g, s)
	}
	return &guard{h.lock, h.token, sender(s, h.lock, h.token), c.Leave}, nil
}

// sender runs errands under a hold of a session.
func sender(s *client.Session, lock string, token uint64) func(context.Context, errand) (uint64, error) {
	return func(ctx context.Context, e errand) (uint64, error) {
		what := fmt.Sprintf("append to %q under %q (token %d)", e.File, lock, token)
		data := slices.Clone(e.Data) // the library may send it again while the caller fills its buffer anew
		r := &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: e.File, Lock: lock, Token: token, Data: data}}}
		if e.Op == "delete" {
			what = fmt.Sprintf("remove %q under %q (token %d)", e.File, lock, token)
			r.Op = &dlmv1.Request_Delete{Delete: &dlmv1.Delete{File: e.File, Lock: lock, Token: token}}
		}
		a, err := s.Request(ctx, what, r)
		return a.GetOffset(), err
	}
}

const guardHelp = `The lock is acquired for it and released after it, unless it is held already: in a command under 'dlm lock NAME', and in a script
after 'dlm acquire NAME --export' (or with --session), the hold that is there is used. If that was lost nothing is changed,
and the exit code is 70.`

func newAppend(g *globals) *cobra.Command {
	f, h := &lockFlags{}, &holdFlags{}
	var data string
	var out format
	cmd := &cobra.Command{
		Use:   "append NAME FILE",
		Short: "Append to a file of the service under a lock",
		Long: `Appends standard input (or --data) to FILE under the lock NAME. The first append makes the file, also an empty one, and binds it to
NAME. More than 256 KiB go in several appends, one after the other under the same hold.

` + guardHelp + `

` + exitCodeHelp,
		Example: `  dlm append journal journal.log --data 'one line
'
  date | dlm append journal journal.log
  dlm lock reports -- sh -c './report.sh | dlm append reports today.txt'`,
		Args:              twoNames("append"),
		ValidArgsFunction: g.completeLockAndFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			var in io.Reader = os.Stdin
			if cmd.Flags().Changed("data") {
				in = strings.NewReader(data)
			}
			return g.runAppend(cmd, f, h, args[0], args[1], in, out)
		},
	}
	f.add(cmd, false)
	h.add(cmd)
	out.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "what to append, instead of standard input")
	return cmd
}

func twoNames(verb string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return fmt.Errorf("%s: the name of a lock and of a file are needed: dlm %s", verb, cmd.Use)
		}
		return nil
	}
}

// appendView is what `append` prints.
type appendView struct {
	File   string `json:"file" doc:"its name"`
	Lock   string `json:"lock" doc:"under which"`
	Token  uint64 `json:"token" doc:"of the hold"`
	Offset uint64 `json:"offset" doc:"where the data begins"`
	Bytes  uint64 `json:"bytes" doc:"that were appended"`
}

func (g *globals) runAppend(cmd *cobra.Command, f *lockFlags, h *holdFlags, name, file string, in io.Reader, out format) error {
	ctx, stop := untilSignal()
	defer stop()
	gd, err := g.guard(ctx, cmd, name, f, h)
	if err != nil {
		return err
	}
	defer gd.end()
	v := appendView{File: file, Lock: name, Token: gd.token}
	if err := gd.copy(ctx, &v, in); err != nil {
		if v.Bytes > 0 {
			err = fmt.Errorf("%w (%d bytes were appended)", err, v.Bytes)
		}
		return err
	}
	err = out.print(v, func(w io.Writer) {
		line(w, fmt.Sprintf("%d bytes at offset %d of %s (token %d)", v.Bytes, v.Offset, human.Printable(v.File), v.Token))
	})
	if err != nil {
		return fmt.Errorf("the data was appended (%d bytes at offset %d, token %d), but that could not be printed: %w", v.Bytes, v.Offset, v.Token, err)
	}
	return nil
}

// copy appends what comes in, chunk by chunk; nothing at all is one empty append.
func (gd *guard) copy(ctx context.Context, v *appendView, in io.Reader) error {
	buf := make([]byte, chunkBytes)
	for first := true; ; first = false {
		n, end := io.ReadFull(in, buf)
		last := errors.Is(end, io.EOF) || errors.Is(end, io.ErrUnexpectedEOF)
		if end != nil && !last {
			return fmt.Errorf("standard input: %w", end)
		}
		if n > 0 || first {
			offset, err := gd.send(ctx, errand{Op: "append", File: v.File, Data: buf[:n]})
			if err != nil {
				return err
			}
			if first {
				v.Offset = offset
			}
			v.Bytes += uint64(n)
		}
		if last {
			return nil
		}
	}
}

func newRm(g *globals) *cobra.Command {
	f, h := &lockFlags{}, &holdFlags{}
	cmd := &cobra.Command{
		Use:   "rm FILE",
		Short: "Remove a file of the service",
		Long: `Removes FILE under the lock that guards it ('dlm files' shows which).

` + guardHelp + `

` + exitCodeHelp,
		Example:           `  dlm rm journal.log --wait 5s`,
		Args:              oneName("rm", "file"),
		ValidArgsFunction: g.completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := g.guardOf(args[0])
			if err != nil {
				return err
			}
			ctx, stop := untilSignal()
			defer stop()
			gd, err := g.guard(ctx, cmd, name, f, h)
			if err != nil {
				return err
			}
			defer gd.end()
			_, err = gd.send(ctx, errand{Op: "delete", File: args[0]})
			return err
		},
	}
	f.add(cmd, false)
	h.add(cmd)
	return cmd
}

// guardOf is the lock that a file is bound to.
func (g *globals) guardOf(file string) (lock string, err error) {
	err = g.with(func(ctx context.Context, c *client.Client) error {
		a, err := c.Query(ctx, fmt.Sprintf("look for %q", file),
			&dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: file, Bytes: 1}}})
		if err == nil {
			lock = a.GetFiles()[0].GetLock()
		}
		return err
	})
	return lock, err
}
