package wal

import (
	"hash/crc32"

	"dlm/wal/vfs"
)

// BlockSize is the unit, in bytes, in which data files are verified.
const BlockSize = 4096

// A data file has a sidecar:
//
//	 0          512      2048     3584     4096
//	+----------+--------+--------+--------+-----+-----+-----+---
//	| header   | slot 0 | slot 1 | zeros  |CRC 0|CRC 1|CRC 2|...
//	+----------+--------+--------+--------+-----+-----+-----+---
//	header:  magic 8, version 4, CRC 4 (of these 24 bytes), file id 8
//	CRC i:   of file id, i, and block i of the file, once it is full
//
// Files grow at any offset, so a write may hit a sector whose first bytes are
// durable, and a power cut then takes those along. The slots keep a second
// copy of the two sectors that this can happen to: the file's last one and
// the one with the last CRCs. They are written in turn, in SyncFiles only:
// while one is being written the other is durable, and everything that was
// written in place since is newer than the other.
//
//	 0     4     8        16                528        1040
//	+-----+-----+--------+-----------------+----------+
//	| CRC |  0  | length | file's last     | sidecar's|
//	|     |     | of file| sector so far   | last one |
//	+-----+-----+--------+-----------------+----------+
//
// The slot's CRC covers the file id and all that follows the CRC.
const (
	sidecarHeaderSize = 24
	slotOffset        = sectorSize
	slotSize          = 3 * sectorSize
	slotUsed          = 16 + 2*sectorSize
	tableOffset       = BlockSize
)

func encodeSidecarHeader(id uint64) []byte {
	b := make([]byte, sidecarHeaderSize)
	putFileHeader(b, magicSidecar)
	le.PutUint64(b[16:], id)
	putHeaderCRC(b)
	return b
}

// blockSeed is the running CRC before the first byte of a block. The place
// is part of it, so that a block of elsewhere is not taken for this one.
func blockSeed(id, block uint64) uint32 {
	var b [16]byte
	le.PutUint64(b[:], id)
	le.PutUint64(b[8:], block)
	return crc32.Update(0, castagnoli, b[:])
}

func tableAt(block uint64) int64 { return tableOffset + 4*int64(block) }

// lastTableSector is where the sector begins that gets the next CRC of a file
// with so many bytes.
func lastTableSector(length uint64) int64 {
	return tableAt(length/BlockSize) / sectorSize * sectorSize
}

func lastSector(length uint64) uint64 { return length / sectorSize * sectorSize }

type slot struct {
	valid       bool
	length      uint64
	data, table [sectorSize]byte
}

func slotCRC(id uint64, b []byte) uint32 {
	return crc32.Update(blockSeed(id, ^uint64(0)), castagnoli, b[4:slotUsed])
}

func (t *slot) encode(id uint64) []byte {
	b := make([]byte, slotUsed)
	le.PutUint64(b[8:], t.length)
	copy(b[16:], t.data[:])
	copy(b[16+sectorSize:], t.table[:])
	le.PutUint32(b, slotCRC(id, b))
	return b
}

func decodeSlot(id uint64, b []byte) (t slot) {
	if le.Uint32(b) != slotCRC(id, b) {
		return slot{}
	}
	t.valid, t.length = true, le.Uint64(b[8:])
	copy(t.data[:], b[16:])
	copy(t.table[:], b[16+sectorSize:])
	return t
}

// coversData: it has the last, incomplete sector of a file of that length.
func (t *slot) coversData(length uint64) bool {
	return t.valid && t.length >= length && lastSector(t.length) == lastSector(length)
}

// coversTable: the same for the sidecar's last sector.
func (t *slot) coversTable(length uint64) bool {
	return t.valid && t.length >= length && lastTableSector(t.length) == lastTableSector(length)
}

// readAtMost reads what there is of b; the rest is zero.
func readAtMost(f vfs.File, b []byte, offset int64) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	clear(b)
	if offset >= size {
		return nil
	}
	return readFull(f, b[:min(int64(len(b)), size-offset)], offset)
}
