package wal

import (
	"errors"
	"hash/crc32"
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
	block := r.length / BlockSize
	st := &fileState{
		length: r.length, generation: max(r.slots[0].generation, r.slots[1].generation),
		crc: crc32.Update(blockSeed(r.id, block), castagnoli, r.tail),
	}
	safe := r.safeSlot()
	if safe >= 0 {
		st.nextSlot = uint8(1 - safe)
		return st, nil
	}
	// No slot is needed for what is in place, but what comes next is written
	// over it: keep a copy first.
	if r.slots[0].generation > r.slots[1].generation {
		st.nextSlot = 0
	} else {
		st.nextSlot = 1
	}
	return st, r.s.syncFile(r.id, r.openFile, st)
}

func (r *fileRecovery) read() error {
	name := fileName(r.s.dir, r.id) + sidecarSuffix
	head := make([]byte, tableOffset)
	if err := readAtMost(r.side, head, 0); err != nil {
		return err
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
	if err := readFull(r.data, r.tail, int64(r.length)-int64(len(r.tail))); err != nil {
		return r.s.shortDamage(r.id, r.data, r.length, err)
	}
	from := lastTableSector(r.length)
	r.table = make([]byte, tableAt(r.length/BlockSize)-from)
	return readAtMost(r.side, r.table, from)
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

// repairTable takes the CRCs from a slot that has them, the older one first:
// see safeSlot. What is in place can only be the same or spoilt.
func (r *fileRecovery) repairTable() error {
	for _, i := range r.byAge() {
		if !r.slots[i].coversTable(r.length) {
			continue
		}
		good := r.slots[i].table[:len(r.table)]
		if string(good) == string(r.table) {
			return nil
		}
		copy(r.table, good)
		_, err := r.side.WriteAt(good, lastTableSector(r.length))
		return err
	}
	return nil
}

func (r *fileRecovery) byAge() [2]int {
	if r.slots[0].generation <= r.slots[1].generation {
		return [2]int{0, 1}
	}
	return [2]int{1, 0}
}

// safeSlot returns the slot that has to stay while the other one is written
// next, or -1. Only the newer of two may not be durable (it was being written
// when the last run ended), so the older one is kept if it will do.
func (r *fileRecovery) safeSlot() int {
	for _, i := range r.byAge() {
		if r.slots[i].coversData(r.length) && r.slots[i].coversTable(r.length) {
			return i
		}
	}
	return -1
}
