package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client/engine"
)

// pageSize is how many items one read asks for.
const pageSize = 500

// chunkBytes is how much of a file one read asks for: the most that a server gives.
const chunkBytes = 256 << 10

// Query makes one linearizable read.
func (c *Client) Query(ctx context.Context, what string, r *dlmv1.Read) (*dlmv1.ReadAnswer, error) {
	d, err := c.do(ctx, &request{what: said(what), start: func(l *loop, now, deadline time.Duration) engine.Call {
		return l.engine.Query(now, deadline, r)
	}})
	return d.Read, err
}

// LockInfo is who holds a lock and who waits for it.
type LockInfo struct {
	*dlmv1.LockInfo
	// Stamp is the cluster time of the read: holds and waits are younger by it.
	Stamp uint64
}

// GetLock tells who holds a lock and who waits for it. A name that nobody uses is a free lock, not an error.
func (c *Client) GetLock(ctx context.Context, name string) (LockInfo, error) {
	a, err := c.Query(ctx, fmt.Sprintf("get lock %q", name), &dlmv1.Read{Op: &dlmv1.Read_GetLock{GetLock: &dlmv1.GetLock{Lock: name}}})
	return LockInfo{a.GetLock(), a.GetStamp()}, err
}

// CheckToken reports whether (lock, token) is the current hold; if not, the LockInfo shows who holds it.
func (c *Client) CheckToken(ctx context.Context, lock string, token uint64) (bool, LockInfo, error) {
	a, err := c.Query(ctx, fmt.Sprintf("check token %d of %q", token, lock),
		&dlmv1.Read{Op: &dlmv1.Read_CheckToken{CheckToken: &dlmv1.CheckToken{Lock: lock, Token: token}}})
	return a.GetCurrent(), LockInfo{a.GetLock(), a.GetStamp()}, err
}

// Status describes the server that answers and the size of its tables.
func (c *Client) Status(ctx context.Context) (*dlmv1.Status, error) {
	a, err := c.Query(ctx, "status", &dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}})
	return a.GetStatus(), err
}

// Locks yields the locks whose names begin with prefix, by name. It reads page by page: each page is the state of one
// instant, all together are not. An error ends it.
func (c *Client) Locks(ctx context.Context, prefix string) iter.Seq2[LockInfo, error] {
	return pages(func(last LockInfo) ([]LockInfo, bool, error) {
		a, err := c.Query(ctx, "list locks", &dlmv1.Read{Op: &dlmv1.Read_ListLocks{
			ListLocks: &dlmv1.ListLocks{Prefix: prefix, After: last.GetLock(), Limit: pageSize},
		}})
		var locks []LockInfo
		for _, l := range a.GetLocks() {
			locks = append(locks, LockInfo{l, a.GetStamp()})
		}
		return locks, a.GetMore(), err
	})
}

// SessionInfo describes an open session.
type SessionInfo struct {
	*dlmv1.SessionInfo
	// Stamp is the cluster time of the read.
	Stamp uint64
}

// Sessions yields the open sessions, by id, page by page as Locks does.
func (c *Client) Sessions(ctx context.Context) iter.Seq2[SessionInfo, error] {
	return pages(func(last SessionInfo) ([]SessionInfo, bool, error) {
		a, err := c.Query(ctx, "list sessions", &dlmv1.Read{Op: &dlmv1.Read_ListSessions{
			ListSessions: &dlmv1.ListSessions{After: last.GetSession(), Limit: pageSize},
		}})
		var sessions []SessionInfo
		for _, s := range a.GetSessions() {
			sessions = append(sessions, SessionInfo{s, a.GetStamp()})
		}
		return sessions, a.GetMore(), err
	})
}

// Files yields the files whose names begin with prefix, by name, page by page as Locks does.
func (c *Client) Files(ctx context.Context, prefix string) iter.Seq2[*dlmv1.FileInfo, error] {
	return pages(func(last *dlmv1.FileInfo) ([]*dlmv1.FileInfo, bool, error) {
		a, err := c.Query(ctx, "list files", &dlmv1.Read{Op: &dlmv1.Read_ListFiles{
			ListFiles: &dlmv1.ListFiles{Prefix: prefix, After: last.GetFile(), Limit: pageSize},
		}})
		return a.GetFiles(), a.GetMore(), err
	})
}

// pages turns a function that reads the page after an item (the zero item: the first page) into an iterator over items.
func pages[T any](next func(last T) (items []T, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last, none T
		for {
			items, more, err := next(last)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
				last = item
			}
			if !more || len(items) == 0 {
				return
			}
		}
	}
}

// File reads a file of the service from the beginning. It is an io.Reader and io.WriterTo; what is appended while it reads is
// read too. A file that is deleted meanwhile ends with ErrNotFound. Not for several goroutines at once.
type File struct {
	c      *Client
	ctx    context.Context
	name   string
	offset uint64
	rest   []byte
	err    error
}

// File begins to read a file; ctx bounds all reads. ErrNotFound comes with the first read.
func (c *Client) File(ctx context.Context, name string) *File {
	return &File{c: c, ctx: ctx, name: name}
}

// Seek continues at an offset, which may be at most the length.
func (f *File) Seek(offset uint64) { f.offset, f.rest, f.err = offset, nil, nil }

// fill gets the next bytes; afterwards there is a rest or an error.
func (f *File) fill() {
	if len(f.rest) > 0 || f.err != nil {
		return
	}
	a, err := f.c.Query(f.ctx, fmt.Sprintf("read %q at %d", f.name, f.offset),
		&dlmv1.Read{Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: f.name, Offset: f.offset, Bytes: chunkBytes}}})
	f.rest = a.GetData()
	f.offset += uint64(len(f.rest))
	f.err = err
	if err == nil && len(f.rest) == 0 {
		f.err = io.EOF
	}
}

// Read implements io.Reader.
func (f *File) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.fill()
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	if n == 0 {
		return 0, f.err
	}
	return n, nil
}

// WriteTo implements io.WriterTo.
func (f *File) WriteTo(w io.Writer) (total int64, err error) {
	for {
		f.fill()
		if len(f.rest) == 0 {
			if errors.Is(f.err, io.EOF) {
				return total, nil
			}
			return total, f.err
		}
		n, err := w.Write(f.rest)
		total += int64(n)
		f.rest = f.rest[n:]
		if err != nil {
			return total, err
		}
	}
}

// ReadFile reads a whole file.
func (c *Client) ReadFile(ctx context.Context, name string) ([]byte, error) {
	return io.ReadAll(c.File(ctx, name))
}
