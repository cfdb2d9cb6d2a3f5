package wal

import (
	"bytes"
	"errors"
	"hash/crc32"
	"path"
	"slices"

	"dlm/wal/vfs"
)

// RecoverFile checks, at start, a file that the recovered snapshot counts on:
// it exists, it is long enough, and its tail is the one with tailCRC. A last
// sector that a power cut spoilt while the file grew is repaired from its
// slot. After that the file continues at length.
//
// Full blocks are verified when they are read.
func (s *Store) RecoverFile(id, length uint64, tailCRC uint32) error {
	if err := s.usable(); err != nil {
		return err
	}
	if length == 0 {
		return nil // nothing was promised; the first write creates it
	}
	o, err := s.files.openPair(id)
	if err != nil {
		return s.openDamage(id, err)
	}
	r := fileRecovery{s: s, id: id, length: length, tailCRC: tailCRC, openFile: o}
	st, err := r.run()
	if err = errors.Join(err, o.close()); err != nil {
		return s.fail(err)
	}
	s.files.state[id] = st
	return nil
}

type fileRecovery struct {
	*openFile
	s          *Store
	id, length uint64
	tailCRC    uint32
	slots      [2]slot
	tail       []byte // of the last, incomplete block
	table      []byte // of the sidecar's last sector, up to the last CRC
}

func (r *fileRecovery) run() (*fileState, error) {
	if err := r.read(); err != nil {
		return nil, err
	}
	if err := r.repairTail(); err != nil {
		return nil, err
	}
	if err := r.repairTable(); err != nil {
		return nil, err
	}
	return &fileState{
		length: r.length, inherited: true,
		crc: crc32.Update(blockSeed(r.id, r.length/BlockSize), castagnoli, r.tail),
	}, nil
}

func (r *fileRecovery) read() error {
	name := fileName(r.s.dir, r.id) + sidecarSuffix
	head := make([]byte, tableOffset)
	if err := readAtMost(r.side, head, 0); err != nil {
		return unreadable(name, 0, err)
	}
	if err := checkFileHeader(name, head[:sidecarHeaderSize], magicSidecar); err != nil {
		return err
	}
	if got := le.Uint64(head[16:]); got != r.id {
		return damaged(name, 16, "it belongs to file %016x", got)
	}
	for i := range r.slots {
		r.slots[i] = decodeSlot(r.id, head[slotOffset+i*slotSize:])
	}
	r.tail = make([]byte, r.length%BlockSize)
	start := int64(r.length) - int64(len(r.tail))
	if err := readFull(r.data, r.tail, start); err != nil {
		return r.s.shortDamage(r.id, r.data, start, r.length, err)
	}
	from := lastTableSector(r.length)
	r.table = make([]byte, tableAt(r.length/BlockSize)-from)
	if err := readAtMost(r.side, r.table, from); err != nil {
		return unreadable(name, from, err)
	}
	return nil
}

func (r *fileRecovery) repairTail() error {
	if crc32.Checksum(r.tail, castagnoli) == r.tailCRC {
		return nil
	}
	start := r.length - uint64(len(r.tail))
	at := lastSector(r.length) - start
	was := append([]byte(nil), r.tail[at:]...)
	for i := range r.slots {
		if !r.slots[i].coversData(r.length) {
			continue
		}
		copy(r.tail[at:], r.slots[i].data[:])
		if crc32.Checksum(r.tail, castagnoli) == r.tailCRC {
			// It need not be synced: the slot stays until something is.
			_, err := r.data.WriteAt(r.tail[at:], int64(start+at))
			return err
		}
	}
	got := crc32.Update(crc32.Checksum(r.tail[:at], castagnoli), castagnoli, was)
	return r.s.fileDamage(r.id, int64(start), "the tail's checksum is %08x and should be %08x", got, r.tailCRC)
}

// repairTable takes CRCs of the sidecar's last sector from the slots that
// have it, but for those that their block confirms. A slot was made of what
// lay in place then, and that may have been damaged: it must not take the
// place of what is right.
func (r *fileRecovery) repairTable() error {
	from := lastTableSector(r.length)
	mended := slices.Clone(r.table)
	for at := 0; at < len(mended); at += 4 {
		crc := mended[at : at+4]
		others := r.slotCRCs(at, crc)
		if len(others) == 0 {
			continue
		}
		sum, err := r.blockCRC((uint64(from) + uint64(at) - tableOffset) / 4)
		if err != nil {
			return err
		}
		if le.Uint32(crc) == sum {
			continue
		}
		le.PutUint32(crc, others[0])
		if slices.Contains(others, sum) {
			le.PutUint32(crc, sum)
		}
	}
	if bytes.Equal(mended, r.table) {
		return nil
	}
	_, err := r.side.WriteAt(mended, from)
	return err
}

// slotCRCs are those that slots have for a place in the sidecar's last sector
// and that differ from the one there.
func (r *fileRecovery) slotCRCs(at int, there []byte) (others []uint32) {
	for i := range r.slots {
		if t := &r.slots[i]; t.coversTable(r.length) && !bytes.Equal(t.table[at:at+4], there) {
			others = append(others, le.Uint32(t.table[at:]))
		}
	}
	return others
}

func (r *fileRecovery) blockCRC(block uint64) (uint32, error) {
	data := make([]byte, BlockSize)
	at := int64(block * BlockSize)
	if err := readAtMost(r.data, data, at); err != nil {
		return 0, unreadable(fileName(r.s.dir, r.id), at, err)
	}
	return crc32.Update(blockSeed(r.id, block), castagnoli, data), nil
}

// adopt is asked before the first write to a file of an earlier run. What
// recovery read is not yet durable: which of the slots and the tail in place
// the disk really has, nobody knows, only that one of them will do. So none
// of them is written over before a fresh sidecar, with a slot for the file as
// it is, is durable in place of the old one.
func (s *Store) adopt(id uint64, o *openFile, st *fileState) error {
	name := fileName(s.dir, id) + sidecarSuffix
	f, err := createTemporary(s.fs, name)
	if err != nil {
		return err
	}
	if err = s.copySidecar(id, o, f, st); err == nil {
		err = publish(s.fs, path.Join(s.dir, filesDir), name, name, f)
	}
	if err != nil {
		return giveUp(s.fs, name, f, named(name, err))
	}
	old := o.side
	o.side, st.inherited, st.nextSlot = f, false, 1
	// The length, too, may be one that only the cache knows, since a sync that
	// failed: writing the same bytes again would not change it, and the next
	// sync would pass it over.
	return errors.Join(old.Close(), o.data.Truncate(int64(st.length)))
}

func (s *Store) copySidecar(id uint64, o *openFile, to vfs.File, st *fileState) error {
	if _, err := to.WriteAt(encodeSidecarHeader(id), 0); err != nil {
		return err
	}
	end := tableAt(st.length / BlockSize)
	buffer := make([]byte, min(1<<20, end-tableOffset))
	for at := int64(tableOffset); at < end; at += int64(len(buffer)) {
		part := buffer[:min(int64(len(buffer)), end-at)]
		if err := readAtMost(o.side, part, at); err != nil {
			return err
		}
		if _, err := to.WriteAt(part, at); err != nil {
			return err
		}
	}
	t, err := s.makeSlot(id, o, st)
	if err != nil {
		return err
	}
	_, err = to.WriteAt(t.encode(id), slotOffset)
	return err
}
