package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"strings"

	"dlm/wal/vfs"
)

// fileSide is what the files' goroutine owns.
type fileSide struct {
	fs    vfs.FS
	dir   string
	state map[uint64]*fileState
	open  map[uint64]*openFile // written since the last SyncFiles
	named bool                 // a file was created since then
	most  int                  // files that may be open, at least 1
}

// fileState is what is known of a file without looking at it. It is small:
// there may be a million.
type fileState struct {
	length    uint64
	crc       uint32 // running, of the block that is not full yet
	nextSlot  uint8  // the one that SyncFiles may overwrite; the other is durable
	inherited bool   // from an earlier run, and not written since: see adopt
}

type openFile struct{ data, side vfs.File }

func (o *openFile) close() error { return errors.Join(o.data.Close(), o.side.Close()) }

func newFileSide(fsys vfs.FS, dir string, most int) fileSide {
	if most <= 0 {
		most = DefaultOpenFiles
	}
	return fileSide{fs: fsys, dir: dir, state: map[uint64]*fileState{}, open: map[uint64]*openFile{}, most: most}
}

func (s *Store) fileDamage(id uint64, offset int64, format string, args ...any) error {
	return damaged(fileName(s.dir, id), offset, format, args...)
}

func (v *fileSide) openPair(id uint64) (*openFile, error) {
	name := fileName(v.dir, id)
	data, err := v.fs.Open(name)
	if err != nil {
		return nil, err
	}
	side, err := v.fs.Open(name + sidecarSuffix)
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return &openFile{data, side}, nil
}

// create makes an empty file, out of a leftover too: that has bytes of a log
// that may not have survived.
func (v *fileSide) create(id uint64) (*openFile, error) {
	v.named = true
	one := func(name string) (vfs.File, error) {
		f, err := v.fs.Create(name)
		if !errors.Is(err, fs.ErrExist) {
			return f, fullError(err)
		}
		if f, err = v.fs.Open(name); err != nil {
			return nil, err
		}
		if err := f.Truncate(0); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	name := fileName(v.dir, id)
	data, err := one(name)
	if err != nil {
		return nil, err
	}
	side, err := one(name + sidecarSuffix)
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	o := &openFile{data, side}
	if _, err := side.WriteAt(encodeSidecarHeader(id), 0); err != nil {
		return nil, errors.Join(fullError(err), o.close())
	}
	v.state[id] = &fileState{crc: blockSeed(id, 0)}
	return o, nil
}

// writable returns the handles of a file that is about to be changed. One
// that was written keeps its own until it is synced: through another one a
// failed write-back may go unseen, and a closed one is not synced any more.
func (s *Store) writable(id uint64) (*openFile, error) {
	v := &s.files
	if o := v.open[id]; o != nil {
		return o, nil
	}
	if len(v.open) >= v.most {
		if err := s.syncFiles(); err != nil {
			return nil, err
		}
	}
	var o *openFile
	var err error
	st := v.state[id]
	if st == nil {
		o, err = v.create(id)
	} else {
		o, err = v.openPair(id)
	}
	if err != nil {
		return nil, err
	}
	if st != nil && st.inherited {
		if err := s.adopt(id, o, st); err != nil {
			return nil, errors.Join(err, o.close())
		}
	}
	v.open[id] = o
	return o, nil
}

// WriteFile puts bytes of a file in their place; SyncFiles makes them
// durable. The offset is at most the length so far: what was written in this
// run, or told to RecoverFile. Bytes below it are passed over, so a write may
// be repeated. A file that neither was written nor recovered in this run
// begins with offset 0, empty. After ErrFull the file is as long as before.
func (s *Store) WriteFile(id, offset uint64, data []byte) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.writeFile(id, offset, data); err != nil {
		return s.fail(err)
	}
	return nil
}

func (s *Store) writeFile(id, offset uint64, data []byte) error {
	var length uint64
	if st := s.files.state[id]; st != nil {
		length = st.length
		if offset+uint64(len(data)) <= length {
			return nil
		}
	}
	if offset > length {
		return fmt.Errorf("%w: write at %d of file %016x, which has %d bytes", ErrUse, offset, id, length)
	}
	o, err := s.writable(id)
	if err != nil {
		return err
	}
	st := s.files.state[id]
	data = data[length-offset:]
	if _, err := o.data.WriteAt(data, int64(length)); err != nil {
		return fullError(named(fileName(s.dir, id), err))
	}
	after, full := st.grown(id, data)
	if len(full) > 0 {
		if _, err := o.side.WriteAt(full, tableAt(length/BlockSize)); err != nil {
			return fullError(named(fileName(s.dir, id)+sidecarSuffix, err))
		}
	}
	*st = after // not before: what did not fit is written again from its start
	return nil
}

// grown is the state after data was written at the end, and the CRCs of the
// blocks that it completes.
func (st fileState) grown(id uint64, data []byte) (_ fileState, full []byte) {
	for len(data) > 0 {
		k := min(uint64(len(data)), BlockSize-st.length%BlockSize)
		st.crc = crc32.Update(st.crc, castagnoli, data[:k])
		st.length += k
		data = data[k:]
		if st.length%BlockSize == 0 {
			full = le.AppendUint32(full, st.crc)
			st.crc = blockSeed(id, st.length/BlockSize)
		}
	}
	return st, full
}

// SyncFiles makes everything that WriteFile wrote durable.
func (s *Store) SyncFiles() error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.syncFiles(); err != nil {
		return s.fail(err)
	}
	return nil
}

func (s *Store) syncFiles() error {
	v := &s.files
	for _, id := range sortedKeys(v.open) {
		if err := s.syncFile(id, v.open[id], v.state[id]); err != nil {
			return err
		}
	}
	if v.named {
		if err := v.fs.SyncDir(path.Join(v.dir, filesDir)); err != nil {
			return err
		}
		v.named = false
	}
	return v.closeHandles()
}

func (v *fileSide) closeHandles() (err error) {
	for _, id := range sortedKeys(v.open) {
		err = errors.Join(err, v.open[id].close())
		delete(v.open, id)
	}
	return err
}

// makeSlot reads what a slot for the file as it is now consists of. The tail
// is verified: a slot must not spread damage. The CRCs are taken as they are,
// since recovery believes a slot's only where the block does not confirm the
// one in place.
func (s *Store) makeSlot(id uint64, o *openFile, st *fileState) (slot, error) {
	t := slot{valid: true, length: st.length}
	tail := make([]byte, st.length%BlockSize)
	start := st.length - uint64(len(tail))
	if err := readAtMost(o.data, tail, int64(start)); err != nil {
		return t, err
	}
	if crc32.Update(blockSeed(id, st.length/BlockSize), castagnoli, tail) != st.crc {
		return t, s.fileDamage(id, int64(start), "the last %d bytes are not those that were written", len(tail))
	}
	copy(t.data[:], tail[lastSector(st.length)-start:])
	from := lastTableSector(st.length)
	return t, readAtMost(o.side, t.table[:tableAt(st.length/BlockSize)-from], from)
}

// syncFile writes the slot whose turn it is and syncs file and sidecar.
func (s *Store) syncFile(id uint64, o *openFile, st *fileState) error {
	t, err := s.makeSlot(id, o, st)
	if err != nil {
		return err
	}
	if _, err := o.side.WriteAt(t.encode(id), slotOffset+int64(st.nextSlot)*slotSize); err != nil {
		return fullError(named(fileName(s.dir, id)+sidecarSuffix, err))
	}
	if err := o.data.Sync(); err != nil {
		return named(fileName(s.dir, id), err)
	}
	if err := o.side.Sync(); err != nil {
		return named(fileName(s.dir, id)+sidecarSuffix, err)
	}
	st.nextSlot = 1 - st.nextSlot
	return nil
}

// ReadFile returns the n bytes at offset of a file that has length bytes,
// fewer at its end. It verifies every block that it touches; tailCRC is the
// CRC-32C of the bytes after the last full block.
func (s *Store) ReadFile(id, length uint64, tailCRC uint32, offset, n uint64) ([]byte, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if offset >= length || n == 0 {
		return nil, nil
	}
	end := offset + min(n, length-offset)
	o := s.files.open[id]
	if o == nil {
		var err error
		if o, err = s.files.openPair(id); err != nil {
			return nil, s.openDamage(id, err)
		}
		defer o.close()
	}
	first := offset / BlockSize
	start, stop := first*BlockSize, min(length, (end+BlockSize-1)/BlockSize*BlockSize)
	data := make([]byte, stop-start)
	if err := readFull(o.data, data, int64(start)); err != nil {
		return nil, s.shortDamage(id, o.data, int64(start), stop, err)
	}
	full := uint64(len(data)) / BlockSize
	table := make([]byte, 4*full)
	if err := readAtMost(o.side, table, tableAt(first)); err != nil {
		return nil, unreadable(fileName(s.dir, id)+sidecarSuffix, tableAt(first), err)
	}
	for i := range full {
		got := crc32.Update(blockSeed(id, first+i), castagnoli, data[i*BlockSize:(i+1)*BlockSize])
		if want := le.Uint32(table[4*i:]); got != want {
			return nil, s.fileDamage(id, int64((first+i)*BlockSize), "the block's checksum is %08x and should be %08x", got, want)
		}
	}
	if tail := data[full*BlockSize:]; len(tail) > 0 {
		if got := crc32.Checksum(tail, castagnoli); got != tailCRC {
			return nil, s.fileDamage(id, int64(start+full*BlockSize), "the tail's checksum is %08x and should be %08x", got, tailCRC)
		}
	}
	return data[offset-start : end-start], nil
}

func (s *Store) openDamage(id uint64, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return s.fileDamage(id, 0, "it or its sidecar is missing: %v", err)
	}
	return err
}

func (s *Store) shortDamage(id uint64, f vfs.File, offset int64, want uint64, err error) error {
	if size, sizeErr := f.Size(); sizeErr == nil && uint64(size) < want {
		return s.fileDamage(id, size, "it ends here and should have at least %d bytes", want)
	}
	return unreadable(fileName(s.dir, id), offset, err)
}

// CollectFiles removes the files with an id below below that are not live.
// What they were must not be needed by the durable snapshot any more.
func (s *Store) CollectFiles(below uint64, live func(id uint64) bool) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.files.collect(below, live); err != nil {
		return s.fail(err)
	}
	return nil
}

func (v *fileSide) collect(below uint64, live func(id uint64) bool) error {
	dir := path.Join(v.dir, filesDir)
	names, err := v.fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		stem, _, _ := strings.Cut(name, ".") // also of a fresh sidecar that was not finished
		id, ok := parseHex(stem, "")
		if !ok || id >= below || live(id) {
			continue
		}
		if o := v.open[id]; o != nil {
			delete(v.open, id)
			if err := o.close(); err != nil {
				return err
			}
		}
		delete(v.state, id)
		if err := v.fs.Remove(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
