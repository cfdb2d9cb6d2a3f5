package powerfs

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"dlm/wal/vfs"
)

const sector = vfs.SectorSize

// inode is a file: the bytes that were synced, and on top of them those that were not. The real file stays open as long as
// the process lives; the few files of a test are few.
type inode struct {
	path string
	real *os.File
	size int64 // as the process sees it
	// floor: from here on what the real file holds was cut off, and that is not durable yet.
	floor int64
	dirty map[int64][]byte // sectors by number, each of full length
}

func openInode(path string, flag int) (*inode, error) {
	real, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := real.Stat()
	if err != nil {
		return nil, errors.Join(err, real.Close())
	}
	return &inode{path: path, real: real, size: info.Size(), floor: math.MaxInt64, dirty: map[int64][]byte{}}, nil
}

// content of a sector as the process sees it; the caller may change it.
func (in *inode) content(n int64) ([]byte, error) {
	b := make([]byte, sector)
	if d := in.dirty[n]; d != nil {
		copy(b, d)
		return b, nil
	}
	if _, err := in.real.ReadAt(b, n*sector); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if end := in.floor - n*sector; end < sector {
		clear(b[max(end, 0):])
	}
	return b, nil
}

// put is a sector on its way to the operating system, cut where the file ends.
func (in *inode) put(n int64, b []byte) error {
	_, err := in.real.WriteAt(b[:min(sector, in.size-n*sector)], n*sector)
	return err
}

// settle makes a shortening durable.
func (in *inode) settle() error {
	if in.floor == math.MaxInt64 {
		return nil
	}
	info, err := in.real.Stat()
	if err == nil && info.Size() > in.floor {
		err = in.real.Truncate(in.floor)
	}
	in.floor = math.MaxInt64
	return err
}

// flush makes everything durable. pause is called in the middle of it.
func (in *inode) flush(pause func()) error {
	if err := in.settle(); err != nil {
		return err
	}
	left := len(in.dirty) / 2
	for n, b := range in.dirty { // in any order: a kill in here leaves any part of it
		if left == 0 {
			pause()
		}
		left--
		if err := in.put(n, b); err != nil {
			return err
		}
	}
	clear(in.dirty)
	return in.real.Truncate(in.size)
}

// writeBack is what a kernel may do at any time before a sync: some sectors reach the disk, and when the power goes while
// one is written, it holds garbage. They stay dirty, so that a sync writes them all.
func (in *inode) writeBack() error {
	if err := in.settle(); err != nil {
		return err
	}
	for n, b := range in.dirty {
		switch rand.IntN(4) {
		case 0:
			garbage := make([]byte, sector)
			for i := range garbage {
				garbage[i] = byte(rand.Uint32())
			}
			b = garbage
		case 1:
			continue
		}
		if err := in.put(n, b); err != nil {
			return err
		}
	}
	return nil
}

// handle is a vfs.File.
type handle struct {
	fs *FS
	in *inode
}

func (f *FS) open(in *inode) vfs.File { return handle{f, in} }

// ReadAt implements vfs.File.
func (h handle) ReadAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	n := 0
	for n < len(p) && off < h.in.size {
		b, err := h.in.content(off / sector)
		if err != nil {
			return n, err
		}
		b = b[off%sector:]
		m := copy(p[n:], b[:min(int64(len(b)), h.in.size-off)])
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (h handle) WriteAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	n := 0
	for n < len(p) {
		b, err := h.in.content(off / sector)
		if err != nil {
			return n, err
		}
		m := copy(b[off%sector:], p[n:])
		h.in.dirty[off/sector] = b
		n += m
		off += int64(m)
	}
	h.in.size = max(h.in.size, off)
	// A liar writes nothing by accident: what it loses must be missed by those who were told that it was kept, not only be
	// found damaged.
	if h.fs.lie == Honest && rand.IntN(8) == 0 {
		return n, h.in.writeBack()
	}
	return n, nil
}

// syncTakes is at most what a sync takes, before anything is written and in the middle of it. Without that a kill would
// hardly ever come while something is written.
const syncTakes = time.Millisecond

// Sync implements vfs.File.
func (h handle) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch h.fs.lie {
	case Never:
		return nil
	case Late:
		time.AfterFunc(lateBy, func() {
			h.fs.mu.Lock()
			defer h.fs.mu.Unlock()
			_ = h.in.flush(func() {})
		})
		return nil
	}
	pause := func() { time.Sleep(rand.N(syncTakes)) }
	pause()
	return h.in.flush(pause)
}

// WriteSynced implements vfs.File. It syncs more than it has to.
func (h handle) WriteSynced(p []byte, off int64) error {
	if _, err := h.WriteAt(p, off); err != nil {
		return err
	}
	return h.Sync()
}

// Truncate implements vfs.File.
func (h handle) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	in := h.in
	if size < in.size {
		in.floor = min(in.floor, size)
		for n, b := range in.dirty {
			switch end := size - n*sector; {
			case end <= 0:
				delete(in.dirty, n)
			case end < sector:
				clear(b[end:])
			}
		}
	}
	in.size = size
	return nil
}

// Size implements vfs.File.
func (h handle) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return h.in.size, nil
}

// Close implements vfs.File. The inode's real file stays open.
func (h handle) Close() error { return nil }
