// Package vfs is the file system that package wal stands on, small enough
// for a disk made of memory to keep every promise of it.
//
//	wal ---> vfs.FS ---> osfs     (a real directory)
//	                \--> simdisk  (memory, which crashes on demand)
//
// What an implementation promises:
//
//  1. A write is readable at once and durable only after Sync of a handle of
//     that file has returned nil. Sync covers the file's bytes and length,
//     never the name under which it can be found. WriteSynced covers its own
//     bytes and nothing else.
//  2. Create, Remove and Rename are visible at once and durable only after
//     SyncDir of their directory. Before that, any subset of them may
//     survive a power cut. One Rename is never seen half done.
//  3. MkdirAll is durable when it returns.
//  4. After a failed Sync or WriteSynced the file may read back as if nothing had happened
//     while the disk has lost it, and a later Sync may succeed without having
//     written anything. A failed SyncDir keeps its changes pending instead
//     (file systems with a journal turn read-only when it breaks).
//  5. Sectors are SectorSize bytes. A power cut leaves each one that was
//     written but not synced with its old content, its new content, or
//     neither; it does not touch others.
//  6. A write into bytes that a file has already needs no space. (On file
//     systems that never write in place, such as btrfs and ZFS, it may: there
//     a full disk can make any write fail.)
package vfs

import "errors"

// ErrNoSpace says that the file system is full or a quota used up. Create,
// WriteAt, Truncate, Rename and MkdirAll wrap it. A part of a write may have
// taken place; of the others nothing has. A Sync never says so: one that fails
// for lack of room is a failed sync.
var ErrNoSpace = errors.New("vfs: no space left")

// SectorSize is the unit, in bytes, in which a power cut damages what was
// not synced. Disks with larger physical sectors promise as much for what
// their firmware emulates.
const SectorSize = 512

// FS is a tree of directories and files. Names are slash-separated paths.
type FS interface {
	// MkdirAll makes dir and the missing directories above it, durably.
	MkdirAll(dir string) error
	// Create makes a new, empty file. If the name exists the error is
	// fs.ErrExist.
	Create(name string) (File, error)
	// Open opens an existing file to read and write. If there is none the
	// error is fs.ErrNotExist.
	Open(name string) (File, error)
	// Remove removes a file. If there is none the error is fs.ErrNotExist.
	Remove(name string) error
	// Rename gives a file another name, in the same directory, in one step;
	// a file that had it is replaced.
	Rename(from, to string) error
	// List returns the names (without dir) of the files and directories in
	// dir, sorted. If there is no dir the error is fs.ErrNotExist.
	List(dir string) ([]string, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Free returns how many bytes the file system of dir has room for, about.
	Free(dir string) (uint64, error)
}

// File is an open file. One goroutine at a time uses it.
type File interface {
	// ReadAt and WriteAt follow io.ReaderAt and io.WriterAt; a write past
	// the end makes the file longer, and a gap reads as zeros.
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Sync makes bytes and length durable.
	Sync() error
	// WriteSynced is WriteAt that makes what it writes durable: these bytes, and the length if they are past the end. Of what
	// was written before it and not synced it says nothing. It fails as either of the two does.
	WriteSynced(p []byte, off int64) error
	// Truncate changes the length; new bytes are zero.
	Truncate(size int64) error
	// Size returns the length in bytes.
	Size() (int64, error)
	// Close releases the handle and syncs nothing.
	Close() error
}
