package osfs

import (
	"io/fs"
	"os"

	"dlm/wal/vfs"
)

// ReadOnly returns the file system of this machine, without any way to change it: whatever would fails with
// fs.ErrPermission.
func ReadOnly() vfs.FS { return readOnlyFS{} }

type readOnlyFS struct{ osFS }

func refuse(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission} }

func (readOnlyFS) MkdirAll(dir string) error            { return refuse("make", dir) }
func (readOnlyFS) Create(name string) (vfs.File, error) { return nil, refuse("create", name) }
func (readOnlyFS) Remove(name string) error             { return refuse("remove", name) }
func (readOnlyFS) Rename(from, _ string) error          { return refuse("rename", from) }
func (readOnlyFS) SyncDir(dir string) error             { return refuse("sync", dir) }

func (readOnlyFS) Open(name string) (vfs.File, error) { return open(name, os.O_RDONLY) }
