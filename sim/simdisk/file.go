package simdisk

import (
	"encoding/binary"
	"io"
	"io/fs"
	"slices"

	"dlm/wal/vfs"
)

// What became of a sector since it was last synced.
const (
	clean = iota // cache and medium agree
	dirty        // written since; the next sync takes it
	lost         // a sync of it failed; no later one takes it
)

const sectorSize = vfs.SectorSize

// inode is a file: what its readers see, and what a power cut would leave.
type inode struct {
	cache     []byte
	medium    []byte // sectors here may lie past length: not reachable then
	length    int    // on the medium
	lengthIs  uint8  // clean, dirty or lost, as for sectors
	sectorIs  []uint8
	anyChange bool // a sector or the length is not clean

	damage []*Damage
	hidden bool // the medium has damage that the cache hides
}

func (n *inode) mark(from, to int) {
	if from >= to {
		return
	}
	n.anyChange = true
	for last := (to - 1) / sectorSize; len(n.sectorIs) <= last; {
		n.sectorIs = append(n.sectorIs, clean)
	}
	for s := from / sectorSize; s*sectorSize < to; s++ {
		n.sectorIs[s] = dirty
	}
}

func (n *inode) resize(size int) {
	if size == len(n.cache) {
		return
	}
	if size < len(n.cache) {
		// What is cut off reads as zeros if the file grows again.
		n.mark(size, len(n.cache))
		n.overwritten(size, len(n.cache))
		n.cache = n.cache[:size]
	} else {
		n.cache = append(n.cache, make([]byte, size-len(n.cache))...)
	}
	n.lengthIs, n.anyChange = dirty, true
}

func (n *inode) write(p []byte, off int) {
	n.resize(max(len(n.cache), off+len(p)))
	copy(n.cache[off:], p)
	n.mark(off, off+len(p))
	n.overwritten(off, off+len(p))
}

// sector returns what the cache holds of sector s, zeros past its end.
func (n *inode) sector(s int) (content [sectorSize]byte) {
	if from := s * sectorSize; from < len(n.cache) {
		copy(content[:], n.cache[from:])
	}
	return content
}

func (n *inode) store(s int, content []byte) {
	if end := (s + 1) * sectorSize; len(n.medium) < end {
		n.medium = append(n.medium, make([]byte, end-len(n.medium))...)
	}
	copy(n.medium[s*sectorSize:], content)
	n.stored(s, content)
}

func (n *inode) sync() {
	if !n.anyChange {
		return
	}
	n.syncRange(0, len(n.sectorIs)*sectorSize)
	if n.lengthIs == dirty {
		n.length, n.lengthIs = len(n.cache), clean
	}
	n.anyChange = slices.Contains(n.sectorIs, lost) || n.lengthIs == lost
}

// syncRange syncs the sectors of these bytes, and the length if it has to reach that far.
func (n *inode) syncRange(from, to int) {
	for s := from / sectorSize; s*sectorSize < to && s < len(n.sectorIs); s++ {
		if n.sectorIs[s] == dirty {
			content := n.sector(s)
			n.store(s, content[:])
			n.sectorIs[s] = clean
		}
	}
	if to = min(to, len(n.cache)); to > n.length && n.lengthIs == dirty {
		n.length = to
		if to == len(n.cache) {
			n.lengthIs = clean
		}
	}
}

func (n *inode) syncFailed() {
	n.syncRangeFailed(0, len(n.sectorIs)*sectorSize)
	if n.lengthIs == dirty {
		n.lengthIs = lost
	}
}

func (n *inode) syncRangeFailed(from, to int) {
	for s := from / sectorSize; s*sectorSize < to && s < len(n.sectorIs); s++ {
		if n.sectorIs[s] == dirty {
			n.sectorIs[s] = lost
		}
	}
	if to > n.length && n.lengthIs == dirty {
		n.lengthIs = lost
	}
}

func (n *inode) powerCut(d *Disk) {
	if !n.anyChange && !n.hidden {
		return
	}
	if n.lengthIs != clean {
		switch low, high := min(n.length, len(n.cache)), max(n.length, len(n.cache)); d.below(3) {
		case 0:
			n.length = len(n.cache)
		case 1:
			n.length = low + d.below(high-low+1)
		}
		n.lengthIs = clean
	}
	for s, state := range n.sectorIs {
		if state == clean {
			continue
		}
		n.sectorIs[s] = clean
		switch content := n.sector(s); d.below(3) {
		case 0:
			n.store(s, content[:])
		case 1:
			for i := 0; i < sectorSize; i += 8 {
				binary.LittleEndian.PutUint64(content[i:], d.rng.Uint64())
			}
			n.store(s, content[:])
		}
	}
	// Sectors past the end are gone: a file that grows again shows zeros.
	n.medium = n.medium[:min(len(n.medium), n.length)]
	n.cache = make([]byte, n.length)
	copy(n.cache, n.medium)
	n.anyChange, n.hidden = false, false
}

// handle is vfs.File on an inode.
type handle struct {
	d     *Disk
	n     *inode
	epoch uint64
	gone  bool
}

func (h *handle) usable() error {
	if h.gone || h.epoch != h.d.epoch {
		return ErrDead
	}
	return nil
}

func (h *handle) reading() error {
	if err := h.usable(); err != nil {
		return err
	}
	return h.d.alive()
}

func (h *handle) changing(kind string) error {
	if err := h.usable(); err != nil {
		return err
	}
	return h.d.change(kind, "", h.n)
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.reading(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if due(&h.d.failRead) {
		return 0, ErrInjected
	}
	if off >= int64(len(h.n.cache)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	k := copy(p, h.n.cache[off:])
	if k < len(p) {
		return k, io.EOF
	}
	return k, nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.usable(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	// The process is stopped half way, or the disk refuses the rest.
	wasStopped := h.d.stopped
	cause := h.d.change("write", "", h.n)
	if wasStopped {
		return 0, cause
	}
	if cause == nil && due(&h.d.failWrite) {
		cause = ErrInjected
	}
	if cause != nil {
		if len(p) == 0 {
			return 0, cause
		}
		k := h.d.below(len(p) + 1)
		if h.d.chance() {
			k = k / sectorSize * sectorSize
		}
		h.n.write(p[:k], int(off))
		return k, cause
	}
	if k := h.d.fits(h.n, int(off)+len(p)) - int(off); k < len(p) {
		if k > 0 {
			h.n.write(p[:k], int(off))
		}
		return max(k, 0), noSpace("write")
	}
	h.n.write(p, int(off))
	return len(p), nil
}

func (h *handle) Sync() error {
	if err := h.changing("sync"); err != nil {
		return err
	}
	if due(&h.d.failSync) {
		h.n.syncFailed()
		return ErrInjected
	}
	h.n.sync()
	return nil
}

// SyncRange is the second half of WriteSynced, for who stops between the two.
func (h *handle) SyncRange(off int64, length int) error {
	if err := h.changing("sync"); err != nil {
		return err
	}
	if due(&h.d.failSync) {
		h.n.syncRangeFailed(int(off), int(off)+length)
		return ErrInjected
	}
	h.n.syncRange(int(off), int(off)+length)
	return nil
}

func (h *handle) WriteSynced(p []byte, off int64) error {
	if _, err := h.WriteAt(p, off); err != nil {
		return err
	}
	return h.SyncRange(off, len(p))
}

func (h *handle) Truncate(size int64) error {
	if err := h.changing("truncate"); err != nil {
		return err
	}
	if size < 0 {
		return fs.ErrInvalid
	}
	if h.d.fits(h.n, int(size)) < int(size) {
		return noSpace("truncate")
	}
	h.n.resize(int(size))
	return nil
}

func (h *handle) Size() (int64, error) {
	if err := h.reading(); err != nil {
		return 0, err
	}
	return int64(len(h.n.cache)), nil
}

func (h *handle) Close() error {
	if err := h.usable(); err != nil {
		return err
	}
	h.gone = true
	return nil
}
