package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
)

var (
	// ErrNotBackup: the bytes do not begin as a backup does.
	ErrNotBackup = errors.New("this is no backup of a server")
	// ErrVersion: the backup was written by another version of this package. It may be whole.
	ErrVersion = errors.New("unknown version of backup")
)

// DamageError says that a backup is not as it was written, and where.
type DamageError struct {
	Offset int64 // bytes from the backup's start
	Why    string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the backup is damaged at offset %d: %s", e.Offset, e.Why)
}

const (
	magic      = "DLM-bak\n"
	version    = 1
	headerSize = 128
	frameHead  = 12
	// frameBytes is the largest payload of a frame.
	frameBytes = 1 << 20

	kindState = 1
	kindFiles = 2
	kindEnd   = 3
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Header describes a backup.
type Header struct {
	ClusterID [16]byte
	MemberID  uint64
	// Index and Term of the last log entry that is in it; Stamp is the cluster time there.
	Index, Term, Stamp uint64
	LastToken          uint64
	// Files and their bytes in all.
	Files, FileBytes uint64
	StateBytes       uint64
	// Sessions and Locks that there were. They are not in the backup.
	Sessions, Locks uint64
}

// numbers are the fields behind the cluster id, in their order.
func (h *Header) numbers() []*uint64 {
	return []*uint64{
		&h.MemberID, &h.Index, &h.Term, &h.Stamp, &h.LastToken, &h.Files, &h.FileBytes, &h.StateBytes, &h.Sessions, &h.Locks,
	}
}

func (h *Header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	le.PutUint32(b[8:], version)
	copy(b[16:], h.ClusterID[:])
	for i, x := range h.numbers() {
		le.PutUint64(b[32+8*i:], *x)
	}
	le.PutUint32(b[12:], headerCRC(b))
	return b
}

func headerCRC(b []byte) uint32 {
	crc := crc32.Update(0, castagnoli, b[:12])
	crc = crc32.Update(crc, castagnoli, make([]byte, 4))
	return crc32.Update(crc, castagnoli, b[16:])
}

func decodeHeader(b []byte) (h Header, err error) {
	if string(b[:8]) != magic {
		return h, fmt.Errorf("%w: it does not begin with %q", ErrNotBackup, magic)
	}
	if got, want := le.Uint32(b[12:]), headerCRC(b); got != want {
		return h, &DamageError{0, fmt.Sprintf("the checksum of its head is %08x and should be %08x", got, want)}
	}
	if v := le.Uint32(b[8:]); v != version {
		return h, fmt.Errorf("%w: it has version %d, this program reads %d", ErrVersion, v, version)
	}
	copy(h.ClusterID[:], b[16:])
	for i, x := range h.numbers() {
		*x = le.Uint64(b[32+8*i:])
	}
	return h, nil
}

func frameCRC(offset int64, head, payload []byte) uint32 {
	var place [8]byte
	le.PutUint64(place[:], uint64(offset))
	crc := crc32.Update(0, castagnoli, place[:])
	return crc32.Update(crc32.Update(crc, castagnoli, head[:8]), castagnoli, payload)
}

// Encoder makes the bytes of a backup. Begin, then Files as often as needed, then End.
type Encoder struct {
	sum    hash.Hash
	offset int64
}

// Begin returns the first bytes: head and state.
func (e *Encoder) Begin(h Header, state []byte) []byte {
	h.StateBytes = uint64(len(state))
	e.sum, e.offset = sha256.New(), headerSize
	b := h.encode()
	e.sum.Write(b)
	return e.frames(b, kindState, state)
}

// Files returns what adds the next bytes of files.
func (e *Encoder) Files(data []byte) []byte { return e.frames(nil, kindFiles, data) }

// End returns the last bytes.
func (e *Encoder) End() []byte { return e.frames(nil, kindEnd, e.sum.Sum(nil)) }

func (e *Encoder) frames(b []byte, kind uint32, data []byte) []byte {
	for len(data) > 0 {
		part := data[:min(len(data), frameBytes)]
		data = data[len(part):]
		var head [frameHead]byte
		le.PutUint32(head[:], uint32(len(part)))
		le.PutUint32(head[4:], kind)
		le.PutUint32(head[8:], frameCRC(e.offset, head[:], part))
		start := len(b)
		b = append(append(b, head[:]...), part...)
		e.sum.Write(b[start:])
		e.offset += int64(len(b) - start)
	}
	return b
}
