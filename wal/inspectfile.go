package wal

import (
	"errors"
	"hash/crc32"
	"io/fs"

	"dlm/wal/vfs"
)

// InspectFile verifies a data file of a store that nobody has open: its length, every full block, and the tail with its
// checksum. What RecoverFile would repair counts as good. It changes nothing, and returns one error for each place that is
// damaged, at most maxFileErrors.
func InspectFile(fsys vfs.FS, dir string, id, length uint64, tailCRC uint32) []error {
	if length == 0 {
		return nil
	}
	name := fileName(dir, id)
	data, err := fsys.Open(name)
	if err != nil {
		return []error{missing(name, err)}
	}
	defer data.Close()
	side, err := fsys.Open(name + sidecarSuffix)
	if err != nil {
		return []error{missing(name+sidecarSuffix, err)}
	}
	defer side.Close()
	head := make([]byte, tableOffset)
	if err := readAtMost(side, head, 0); err != nil {
		return []error{err}
	}
	if err := checkFileHeader(name+sidecarSuffix, head[:sidecarHeaderSize], magicSidecar); err != nil {
		return []error{err}
	}
	if size, err := data.Size(); err != nil {
		return []error{err}
	} else if uint64(size) < length {
		return []error{damaged(name, size, "it ends here and should have at least %d bytes", length)}
	}
	x := fileCheck{name: name, id: id, length: length, data: data, side: side}
	for i := range x.slots {
		x.slots[i] = decodeSlot(id, head[slotOffset+i*slotSize:])
	}
	if err := x.blocks(); err != nil {
		return append(x.errs, err)
	}
	if err := x.tail(tailCRC); err != nil {
		return append(x.errs, err)
	}
	return x.errs
}

const maxFileErrors = 16

func missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(name, 0, "it is missing")
	}
	return err
}

type fileCheck struct {
	name       string
	id, length uint64
	data, side vfs.File
	slots      [2]slot
	errs       []error
}

// crcOf is the checksum of a full block that the sidecar has, in its place or in a slot.
func (x *fileCheck) crcsOf(block uint64) (crcs []uint32, err error) {
	var b [4]byte
	if err := readAtMost(x.side, b[:], tableAt(block)); err != nil {
		return nil, err
	}
	crcs = append(crcs, le.Uint32(b[:]))
	if from := lastTableSector(x.length); tableAt(block) >= from {
		for i := range x.slots {
			if x.slots[i].coversTable(x.length) {
				crcs = append(crcs, le.Uint32(x.slots[i].table[tableAt(block)-from:]))
			}
		}
	}
	return crcs, nil
}

func (x *fileCheck) blocks() error {
	block := make([]byte, BlockSize)
	for i := range x.length / BlockSize {
		if err := readFull(x.data, block, int64(i*BlockSize)); err != nil {
			return err
		}
		got := crc32.Update(blockSeed(x.id, i), castagnoli, block)
		crcs, err := x.crcsOf(i)
		if err != nil {
			return err
		}
		good := false
		for _, want := range crcs {
			good = good || got == want
		}
		if !good {
			x.errs = append(x.errs, damaged(x.name, int64(i*BlockSize), "the block's checksum is %08x and should be %08x", got, crcs[0]))
			if len(x.errs) == maxFileErrors {
				return nil
			}
		}
	}
	return nil
}

func (x *fileCheck) tail(want uint32) error {
	tail := make([]byte, x.length%BlockSize)
	start := x.length - uint64(len(tail))
	if err := readFull(x.data, tail, int64(start)); err != nil {
		return err
	}
	got := crc32.Checksum(tail, castagnoli)
	if got == want {
		return nil
	}
	at := lastSector(x.length) - start
	for i := range x.slots {
		if x.slots[i].coversData(x.length) {
			copy(tail[at:], x.slots[i].data[:])
			if crc32.Checksum(tail, castagnoli) == want {
				return nil
			}
		}
	}
	return damaged(x.name, int64(start), "the tail's checksum is %08x and should be %08x", got, want)
}
