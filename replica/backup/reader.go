package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"dlm/core"
)

// Reader reads a backup and verifies it.
type Reader struct {
	Header Header
	// State is core's snapshot, Files the records in it, in order of their ids.
	State []byte
	Files []core.FileRecord

	from   io.Reader
	sum    hash.Hash
	offset int64
	buffer []byte

	rest []byte // of the present frame, bytes of files
	file int    // the one whose bytes come next
	at   uint64 // so many of them were read
	crc  uint32 // of these
	tail uint32 // of those after the last full block
	read uint64 // bytes of all files
	done bool
}

// Piece is some of a file's bytes.
type Piece struct {
	File   core.FileRecord
	Offset uint64
	Data   []byte // valid until the next call
}

// NewReader reads head and state. Errors: ErrNotBackup, ErrVersion, *DamageError, core.ErrSnapshotVersion, or what from says.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: from, sum: sha256.New()}
	head := make([]byte, headerSize)
	n, err := io.ReadFull(from, head)
	if n < len(magic) || string(head[:len(magic)]) != magic {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrNotBackup, magic)
	}
	if err != nil {
		return nil, r.cutOff(err)
	}
	r.sum.Write(head)
	r.offset = headerSize
	if r.Header, err = decodeHeader(head); err != nil {
		return nil, err
	}
	for uint64(len(r.State)) < r.Header.StateBytes {
		kind, payload, err := r.frame()
		if err != nil {
			return nil, err
		}
		if kind != kindState {
			return nil, r.damaged("the state has %d bytes and should have %d", len(r.State), r.Header.StateBytes)
		}
		r.State = append(r.State, payload...)
	}
	return r, r.state()
}

// state looks into the state, and compares it with the head.
func (r *Reader) state() error {
	c, err := core.Restore(r.State)
	if errors.Is(err, core.ErrSnapshotVersion) {
		return err
	}
	if err != nil {
		return r.damaged("%v", err)
	}
	bytes := uint64(0)
	c.EachFile(func(f core.FileRecord) {
		r.Files = append(r.Files, f)
		bytes += f.Length
	})
	h := &r.Header
	if uint64(len(r.State)) != h.StateBytes || uint64(len(r.Files)) != h.Files || bytes != h.FileBytes ||
		c.ClusterID() != h.ClusterID || c.LastToken() != h.LastToken || c.Index() != h.Index || c.Now() != h.Stamp {
		return r.damaged("its state is not the one that its head describes")
	}
	r.begin()
	return nil
}

func (r *Reader) damaged(format string, args ...any) error {
	return &DamageError{r.offset, fmt.Sprintf(format, args...)}
}

// cutOff is the error for bytes that are missing, or cannot be read.
func (r *Reader) cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damaged("it ends here and is not whole")
	}
	return err
}

// frame reads and verifies the next one. The payload is valid until the next call.
func (r *Reader) frame() (kind uint32, payload []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r.from, head[:]); err != nil {
		return 0, nil, r.cutOff(err)
	}
	length := le.Uint32(head[:])
	kind = le.Uint32(head[4:])
	if length == 0 || length > frameBytes || kind < kindState || kind > kindEnd || kind == kindEnd && length != sha256.Size {
		return 0, nil, r.damaged("no frame begins here")
	}
	if uint32(cap(r.buffer)) < length {
		r.buffer = make([]byte, length)
	}
	payload = r.buffer[:length]
	if _, err := io.ReadFull(r.from, payload); err != nil {
		return 0, nil, r.cutOff(err)
	}
	if got, want := frameCRC(r.offset, head[:], payload), le.Uint32(head[8:]); got != want {
		return 0, nil, r.damaged("the frame's checksum is %08x and should be %08x", got, want)
	}
	if kind == kindEnd {
		if sum := r.sum.Sum(nil); !bytes.Equal(sum, payload) {
			return 0, nil, r.damaged("the checksum of the whole is %x and should be %x", sum, payload)
		}
	}
	r.sum.Write(head[:])
	r.sum.Write(payload)
	r.offset += frameHead + int64(length)
	return kind, payload, nil
}

// begin goes on to the next file that has bytes.
func (r *Reader) begin() {
	for r.file < len(r.Files) && r.Files[r.file].Length == 0 {
		r.file++
	}
	r.at, r.crc, r.tail = 0, 0, 0
}

// Next returns the next bytes of a file. io.EOF: the backup is whole, and all of it was read.
func (r *Reader) Next() (Piece, error) {
	if r.done {
		return Piece{}, io.EOF
	}
	if len(r.rest) == 0 {
		kind, payload, err := r.frame()
		if err != nil {
			return Piece{}, err
		}
		if kind == kindEnd {
			return Piece{}, r.end()
		}
		if kind != kindFiles || r.file == len(r.Files) {
			return Piece{}, r.damaged("there are more bytes than those of the %d files", len(r.Files))
		}
		r.rest = payload
	}
	if r.file == len(r.Files) {
		return Piece{}, r.damaged("there are more bytes than those of the %d files", len(r.Files))
	}
	f := r.Files[r.file]
	data := r.rest[:min(uint64(len(r.rest)), f.Length-r.at)]
	r.rest = r.rest[len(data):]
	p := Piece{File: f, Offset: r.at, Data: data}
	return p, r.count(f, data)
}

// count takes the bytes of a file in, and verifies it at its end.
func (r *Reader) count(f core.FileRecord, data []byte) error {
	r.crc = crc32.Update(r.crc, castagnoli, data)
	r.read += uint64(len(data))
	for len(data) > 0 {
		part := data[:min(uint64(len(data)), core.FileBlock-r.at%core.FileBlock)]
		data = data[len(part):]
		r.tail = crc32.Update(r.tail, castagnoli, part)
		if r.at += uint64(len(part)); r.at%core.FileBlock == 0 {
			r.tail = 0
		}
	}
	if r.at < f.Length {
		return nil
	}
	if r.crc != f.CRC || r.tail != f.TailCRC {
		return r.damaged("the checksum of file %q is %08x and should be %08x", f.Name, r.crc, f.CRC)
	}
	r.file++
	r.begin()
	return nil
}

func (r *Reader) end() error {
	if r.file != len(r.Files) || r.read != r.Header.FileBytes {
		return r.damaged("it ends with %d bytes of files and should have %d", r.read, r.Header.FileBytes)
	}
	var more [1]byte
	if n, err := io.ReadFull(r.from, more[:]); n > 0 {
		return r.damaged("something follows its end")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	r.done = true
	return io.EOF
}

// Verify reads to the end.
func (r *Reader) Verify() error {
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
