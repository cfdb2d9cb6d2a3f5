package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/wal"
	"dlm/wal/vfs"
)

// ackedAppends are the appends that clients were told of, to be looked for in the bytes on the disk (G3, G4, G5).
type ackedAppends struct{ list []ackedAppend }

type ackedAppend struct {
	file                 string
	token, offset, index uint64
	data                 []byte
}

func (c *ackedAppends) ended(k *call, a *dlmv1.Answer) {
	op := k.asked.op.GetAppend()
	if op == nil || a.GetReason() != dlmv1.Reason_REASON_OK {
		return
	}
	c.list = append(c.list, ackedAppend{op.GetFile(), op.GetToken(), a.GetOffset(), a.GetIndex(), op.GetData()})
}

// check looks for every acknowledged append to the present life of a file (from position born on) in its bytes: each at
// the place that it was told, no two at one place, and in the order of their tokens, which is what fencing is for.
func (c *ackedAppends) check(w watcher, file string, born uint64, disk []byte) {
	var here []ackedAppend
	for _, a := range c.list {
		if a.file == file && a.index >= born {
			here = append(here, a)
		}
	}
	slices.SortStableFunc(here, func(a, b ackedAppend) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(len(a.data), len(b.data)))
	})
	end, token := uint64(0), uint64(0)
	for _, a := range here {
		w.checked("G3 file")
		last := a.offset + uint64(len(a.data))
		if last > uint64(len(disk)) || !bytes.Equal(disk[a.offset:last], a.data) {
			w.fail("G5", "the %d bytes that were appended to %q at %d under token %d and acknowledged are not on the disk, which has %d bytes",
				len(a.data), file, a.offset, a.token, len(disk))
			return
		}
		if a.offset < end {
			w.fail("G4", "two acknowledged appends to %q lie over each other at %d", file, a.offset)
		}
		if a.token < token {
			w.fail("G3", "in %q bytes of token %d lie before those of token %d at %d", file, token, a.token, a.offset)
		}
		end, token = last, a.token
	}
}

// checkFiles compares every file with the appends in the log and with those that clients were told of: what the server
// would serve, and the bytes on the disk, read past the server's code. Damage that was done to them must be refused; then
// it is repaired.
func (w *World) checkFiles() {
	for _, f := range w.logCheck.files {
		if f.died != 0 {
			continue
		}
		w.checked("G5 file")
		rec, ok := w.server.node.Core().File(f.name)
		if !ok {
			w.fail("G5", "file %q is missing", f.name)
			return
		}
		got, err := readAll(w.server.store, rec)
		for err != nil && w.disks.refused(err) {
			got, err = readAll(w.server.store, rec)
		}
		if w.disks.spoiled(err) {
			w.count("a file is refused for damage that a recovery met")
			continue
		}
		if err != nil || !bytes.Equal(got, f.data) {
			w.fail("G5", "file %q is served with %d bytes that are not the %d acknowledged ones: %v", f.name, len(got), len(f.data), err)
			return
		}
		got, err = diskFile(w.server.disk.FS(), f.id)
		if err != nil {
			w.fail("G5", "file %q: %v", f.name, err)
			return
		}
		if len(got) < len(f.data) || !bytes.Equal(got[:len(f.data)], f.data) {
			w.fail("G5", "file %q has %d bytes on the disk that are not the %d acknowledged ones", f.name, len(got), len(f.data))
			return
		}
		born := f.born
		if w.logCheck.diedIn(f.name, born) {
			born++ // appends of that entry may be to the former life
		}
		w.acked.check(w, f.name, born, got[:len(f.data)])
		w.past.disk(f.name, got[:len(f.data)])
	}
}

// diedIn says whether a file of that name was deleted in an entry.
func (l *logChecker) diedIn(name string, index uint64) bool {
	return slices.ContainsFunc(l.files, func(f *logFile) bool { return f.name == name && f.died == index })
}

func readAll(store *wal.Store, r core.FileRecord) ([]byte, error) {
	var all []byte
	for uint64(len(all)) < r.Length {
		got, err := store.ReadFile(r.ID, r.Length, r.TailCRC, uint64(len(all)), readMost)
		if err != nil {
			return nil, err
		}
		if len(got) == 0 {
			break
		}
		all = append(all, got...)
	}
	return all, nil
}

// diskFile reads a data file. Ids are given in the order in which files came to be.
func diskFile(fsys vfs.FS, id uint64) ([]byte, error) {
	f, err := fsys.Open(fmt.Sprintf("%s/files/%016x", dataDir, id))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("%d bytes read of %d: %w", n, size, err)
	}
	return b, f.Close()
}
