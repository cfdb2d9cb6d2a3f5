package core

import (
	"fmt"
	"hash/crc32"

	dlmv1 "dlm/api/dlm/v1"
)

// FileBlock is the unit in bytes that FileRecord.TailCRC counts in. The checksums on disk are of blocks of this size.
const FileBlock = 4096

// FileRecord is what core knows of a file; the bytes lie elsewhere.
type FileRecord struct {
	ID     uint64
	Name   string
	Lock   string // that guards it
	Length uint64
	CRC    uint32 // CRC-32C of all bytes
	// TailCRC is the CRC-32C of the bytes after the last multiple of FileBlock; 0 if there are none.
	TailCRC uint32
}

// FileOp is a change of a file's bytes, to be done in the order of the log. Doing one again is harmless.
type FileOp struct {
	Kind   FileOpKind
	ID     uint64
	Offset uint64
	// Data is the request's own; it may be empty: the file begins to exist.
	Data []byte
}

// FileOpKind says what a FileOp does.
type FileOpKind uint8

const (
	// FileWrite writes Data at Offset, the file's length so far.
	FileWrite FileOpKind = iota + 1
	// FileDelete removes the file. Its ID is never used again.
	FileDelete
)

type file struct {
	FileRecord
	link node[file]
	mark uint32 // see Image
}

type fileTable struct {
	byName map[string]*file
	order  list[file, fileInOrder] // by id
}

func newFileTable() fileTable { return fileTable{byName: map[string]*file{}} }

func (t *fileTable) add(r FileRecord) *file {
	f := &file{FileRecord: r}
	t.byName[f.Name] = f
	t.order.push(f)
	return f
}

// File is the record of a file.
func (c *Core) File(name string) (FileRecord, bool) {
	f := c.files.byName[name]
	if f == nil {
		return FileRecord{}, false
	}
	return f.FileRecord, true
}

// EachFile visits all files in order of their ids.
func (c *Core) EachFile(visit func(FileRecord)) {
	for f := range c.files.order.all() {
		visit(f.FileRecord)
	}
}

// fence says whether a file operation may go ahead: the file (nil for a new one) is bound to that lock, and the session
// holds it exclusively under that token.
func (c *Core) fence(s *session, f *file, name string, token uint64) refusal {
	if f != nil && f.Lock != name {
		return refusal{
			reason: dlmv1.Reason_REASON_WRONG_LOCK, detail: fmt.Sprintf("the file is bound to the lock %q", f.Lock),
		}
	}
	h, no := c.current(s, name, token)
	if h != nil && h.mode != dlmv1.Mode_MODE_EXCLUSIVE {
		return refusal{
			reason: dlmv1.Reason_REASON_NOT_EXCLUSIVE, token: h.lock.token(), detail: "the hold is shared, an exclusive one is needed",
		}
	}
	return no
}

func (c *Core) appendOp(s *session, seq uint64, op *dlmv1.Append) *dlmv1.Answer {
	f := c.files.byName[op.File]
	if no := c.fence(s, f, op.Lock, op.Token); no.reason != dlmv1.Reason_REASON_OK {
		return c.no(s, seq, no)
	}
	length := uint64(0)
	if f != nil {
		length = f.Length
	} else if n := uint64(len(c.files.byName)); n >= c.limits.Files {
		return c.no(s, seq, limitReached(c.limits.Files, "there are %d files, at most %d may be", n))
	}
	// length may be above a limit that was lowered: compare without subtracting.
	if length+uint64(len(op.Data)) > c.limits.FileBytes {
		return c.no(s, seq, limitReached(c.limits.FileBytes, "the file has %d bytes, at most %d are allowed", length))
	}
	if f == nil {
		c.lastFile++
		f = c.files.add(FileRecord{ID: c.lastFile, Name: op.File, Lock: op.Lock})
		f.mark = c.imageMark
	}
	c.preserveFile(f)
	c.out.Files = append(c.out.Files, FileOp{Kind: FileWrite, ID: f.ID, Offset: f.Length, Data: op.Data})
	f.grow(op.Data)
	a := c.reply(s, seq, dlmv1.Reason_REASON_OK)
	a.Offset, a.Length = length, f.Length
	return a
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// grow counts data in at the end of the file.
func (r *FileRecord) grow(data []byte) {
	block := r.Length / FileBlock
	r.Length += uint64(len(data))
	r.CRC = crc32.Update(r.CRC, castagnoli, data)
	if r.Length/FileBlock == block {
		r.TailCRC = crc32.Update(r.TailCRC, castagnoli, data)
		return
	}
	tail := r.Length % FileBlock
	r.TailCRC = crc32.Checksum(data[uint64(len(data))-tail:], castagnoli)
}

func (c *Core) deleteOp(s *session, seq uint64, op *dlmv1.Delete) *dlmv1.Answer {
	f := c.files.byName[op.File]
	if f == nil {
		return c.no(s, seq, refusal{reason: dlmv1.Reason_REASON_NOT_FOUND, detail: "there is no such file"})
	}
	if no := c.fence(s, f, op.Lock, op.Token); no.reason != dlmv1.Reason_REASON_OK {
		return c.no(s, seq, no)
	}
	c.removesFile(f)
	delete(c.files.byName, f.Name)
	c.files.order.remove(f)
	c.out.Files = append(c.out.Files, FileOp{Kind: FileDelete, ID: f.ID})
	return c.reply(s, seq, dlmv1.Reason_REASON_OK)
}
