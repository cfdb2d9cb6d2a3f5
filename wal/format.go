package wal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"dlm/wal/vfs"
)

// Every number on the disk is little-endian. Every file begins with a magic
// of 8 bytes, a version (u32) and a CRC (u32) at the same place in each
// version, so that "written by another version" and "damaged" stay apart.

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const (
	sectorSize = vfs.SectorSize

	magicSegment  = "DLM-log\n"
	magicSnapshot = "DLM-snp\n"
	magicSidecar  = "DLM-crc\n"
	formatVersion = 1

	crcAt = 12 // of the header's CRC, which counts as zero in itself
)

func roundUp(n int64) int64 { return (n + sectorSize - 1) / sectorSize * sectorSize }

// putFileHeader begins a file: magic and version. The CRC follows with
// putHeaderCRC, when the rest of the covered bytes is in place.
func putFileHeader(b []byte, magic string) {
	copy(b, magic)
	le.PutUint32(b[8:], formatVersion)
}

func headerCRC(covered []byte) uint32 {
	crc := crc32.Update(0, castagnoli, covered[:crcAt])
	crc = crc32.Update(crc, castagnoli, make([]byte, 4))
	return crc32.Update(crc, castagnoli, covered[crcAt+4:])
}

func putHeaderCRC(covered []byte) { le.PutUint32(covered[crcAt:], headerCRC(covered)) }

// checkFileHeader checks magic, CRC and version, in this order.
func checkFileHeader(name string, covered []byte, magic string) error {
	if len(covered) < crcAt+4 || string(covered[:8]) != magic {
		return damaged(name, 0, "it does not begin with %q", magic)
	}
	if got, want := le.Uint32(covered[crcAt:]), headerCRC(covered); got != want {
		return damaged(name, crcAt, "checksum is %08x and should be %08x", got, want)
	}
	if v := le.Uint32(covered[8:]); v != formatVersion {
		return fmt.Errorf("%w: %s has version %d, this program reads %d", ErrVersion, name, v, formatVersion)
	}
	return nil
}

func (id Identity) put(b []byte) {
	copy(b, id.ClusterID[:])
	le.PutUint64(b[16:], id.MemberID)
}

func getIdentity(b []byte) (id Identity) {
	copy(id.ClusterID[:], b)
	id.MemberID = le.Uint64(b[16:])
	return id
}

const identitySize = 24

// A segment's header fills its first sector:
//
//	 0       8       12      16       24       32       40              56
//	+-------+-------+-------+--------+--------+--------+---------------+--------+
//	| magic |version|  CRC  | number | first  |  salt  | cluster id 16 | member |
//	+-------+-------+-------+--------+--------+--------+---------------+--------+
//	 64     72        80         88        96     104    112      120        512
//	+------+---------+----------+---------+------+------+--------+----------+
//	| size | prevEnd |last index|last term| term | vote | commit |  zeros   |
//	+------+---------+----------+---------+------+------+--------+----------+
//
// The CRC covers the sector.
type segmentHeader struct {
	number uint64
	// first is the lowest number that this segment stands for: its own, or
	// that of the segment whose frames recovery has copied into this one.
	// The segments in [first, number) are not to be read.
	first uint64
	salt  uint64
	id    Identity
	size  int64 // of the file, at least
	// prevEnd is where the frames of segment first-1 end. All of them were
	// durable before this header was: a bad one is damage, never torn.
	prevEnd int64
	// What was current when the segment began.
	lastIndex, lastTerm uint64
	hard                hardState
}

// saltOf never gives two segments of all clusters the same salt (but by a
// collision of 64 bits), so that bytes of another segment that a file system
// lets shine through are not valid here.
func saltOf(id Identity, number uint64) uint64 {
	var b [identitySize + 8]byte
	id.put(b[:])
	le.PutUint64(b[identitySize:], number)
	sum := sha256.Sum256(b[:])
	return le.Uint64(sum[:])
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, sectorSize)
	putFileHeader(b, magicSegment)
	le.PutUint64(b[16:], h.number)
	le.PutUint64(b[24:], h.first)
	le.PutUint64(b[32:], h.salt)
	h.id.put(b[40:])
	le.PutUint64(b[64:], uint64(h.size))
	le.PutUint64(b[72:], uint64(h.prevEnd))
	le.PutUint64(b[80:], h.lastIndex)
	le.PutUint64(b[88:], h.lastTerm)
	h.hard.put(b[96:])
	putHeaderCRC(b)
	return b
}

func decodeSegmentHeader(name string, number uint64, id Identity, b []byte) (segmentHeader, error) {
	if len(b) < sectorSize {
		return segmentHeader{}, damaged(name, 0, "it has %d bytes, its header %d", len(b), sectorSize)
	}
	b = b[:sectorSize]
	if err := checkFileHeader(name, b, magicSegment); err != nil {
		return segmentHeader{}, err
	}
	h := segmentHeader{
		number: le.Uint64(b[16:]), first: le.Uint64(b[24:]), salt: le.Uint64(b[32:]),
		id: getIdentity(b[40:]), size: int64(le.Uint64(b[64:])), prevEnd: int64(le.Uint64(b[72:])),
		lastIndex: le.Uint64(b[80:]), lastTerm: le.Uint64(b[88:]), hard: getHardState(b[96:]),
	}
	switch {
	case h.id != id:
		return h, damaged(name, 40, "it belongs to member %x of cluster %x, the snapshot to member %x of cluster %x",
			h.id.MemberID, h.id.ClusterID, id.MemberID, id.ClusterID)
	case h.number != number:
		return h, damaged(name, 16, "its header says that it is segment %d", h.number)
	case h.salt != saltOf(id, number) || h.first == 0 || h.first > h.number || h.size < sectorSize || h.prevEnd < 0:
		return h, damaged(name, 24, "its header contradicts itself")
	}
	return h, nil
}

// A frame begins on a sector boundary, so that writing one never touches a
// sector that is durable already:
//
//	 0       4     8        12     13    16
//	+-------+-----+--------+------+-----+---------------+----------------+
//	| magic | CRC | length | kind |  0  | payload       | zeros to the   |
//	|       |     |        |      |     | length bytes  | next sector    |
//	+-------+-----+--------+------+-----+---------------+----------------+
//
// The CRC covers the segment's salt, the frame's offset, and everything from
// length to the end of the payload.
const (
	magicFrame      = 0x464d4c44 // "DLMF"
	frameHeaderSize = 16

	frameBatch = 1 // records of one batch
	frameEnd   = 2 // the next segment is durable; no payload
	frameSeal  = 3 // the process ended in order; no payload

	maxFrameBytes = 1 << 30
)

func frameCRC(frame []byte, salt uint64, offset int64) uint32 {
	var place [16]byte
	le.PutUint64(place[:], salt)
	le.PutUint64(place[8:], uint64(offset))
	return crc32.Update(crc32.Update(0, castagnoli, place[:]), castagnoli, frame[8:])
}

// finishFrame turns b (frameHeaderSize free bytes and the payload) into the
// frame for that place, padded to whole sectors.
func finishFrame(b []byte, kind byte, salt uint64, offset int64) []byte {
	clear(b[:frameHeaderSize])
	le.PutUint32(b, magicFrame)
	le.PutUint32(b[8:], uint32(len(b)-frameHeaderSize))
	b[12] = kind
	le.PutUint32(b[4:], frameCRC(b, salt, offset))
	return append(b, make([]byte, roundUp(int64(len(b)))-int64(len(b)))...)
}

type frame struct {
	kind    byte
	payload []byte // shares memory with the image
	offset  int64
	end     int64 // a multiple of sectorSize
}

// frameAt looks for a valid frame at an offset of a segment's image.
func frameAt(image []byte, salt uint64, offset int64) (frame, bool) {
	rest := image[min(offset, int64(len(image))):]
	if len(rest) < frameHeaderSize || le.Uint32(rest) != magicFrame {
		return frame{}, false
	}
	length := int64(le.Uint32(rest[8:]))
	if length > maxFrameBytes || length > int64(len(rest)-frameHeaderSize) {
		return frame{}, false
	}
	whole := rest[:frameHeaderSize+length]
	if roundUp(int64(len(whole))) > int64(len(rest)) {
		return frame{}, false
	}
	if frameCRC(whole, salt, offset) != le.Uint32(rest[4:]) {
		return frame{}, false
	}
	return frame{
		kind: rest[12], payload: whole[frameHeaderSize:],
		offset: offset, end: offset + roundUp(int64(len(whole))),
	}, true
}
