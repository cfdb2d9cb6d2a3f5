package simdisk

import (
	"io/fs"
	"maps"
	"path"
	"slices"

	"dlm/wal/vfs"
)

// directory holds the names of files: as everybody sees them, as they are on
// the medium, and the changes that lie between.
type directory struct {
	names   map[string]*inode
	durable map[string]*inode
	pending []dirChange // durable with all of them applied is names
}

// dirChange sets up to two names at once; a nil file removes the name.
type dirChange []dirEntry

type dirEntry struct {
	name string
	file *inode
}

func newDirectory() *directory {
	return &directory{names: map[string]*inode{}, durable: map[string]*inode{}}
}

func (c dirChange) apply(names map[string]*inode) {
	for _, e := range c {
		if e.file == nil {
			delete(names, e.name)
		} else {
			names[e.name] = e.file
		}
	}
}

func (r *directory) change(entries ...dirEntry) {
	c := dirChange(entries)
	c.apply(r.names)
	r.pending = append(r.pending, c)
}

func (r *directory) sync() {
	for _, c := range r.pending {
		c.apply(r.durable)
	}
	r.pending = nil
}

func (r *directory) powerCut(keep func() bool) {
	for _, c := range r.pending {
		if keep() {
			c.apply(r.durable)
		}
	}
	r.pending = nil
	r.names = maps.Clone(r.durable)
}

// fileSystem is vfs.FS on a Disk.
type fileSystem struct{ d *Disk }

func (f fileSystem) MkdirAll(dir string) error {
	dir = path.Clean(dir)
	if f.d.dirs[dir] != nil {
		return f.d.alive()
	}
	if err := f.d.change("mkdir", dir, nil); err != nil {
		return err
	}
	for f.d.dirs[dir] == nil {
		f.d.dirs[dir] = newDirectory()
		dir = path.Dir(dir)
	}
	return nil
}

func (f fileSystem) Create(name string) (vfs.File, error) {
	if err := f.d.change("create", name, nil); err != nil {
		return nil, err
	}
	dir, err := f.d.directory("create", path.Dir(name))
	if err != nil {
		return nil, err
	}
	if dir.names[path.Base(name)] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if f.d.Free() == 0 {
		return nil, noSpace("create")
	}
	n := &inode{}
	dir.change(dirEntry{path.Base(name), n})
	f.d.did("create", name)
	return &handle{d: f.d, n: n, epoch: f.d.epoch}, nil
}

func (f fileSystem) Open(name string) (vfs.File, error) {
	if err := f.d.alive(); err != nil {
		return nil, err
	}
	n, err := f.d.find("open", name)
	if err != nil {
		return nil, err
	}
	return &handle{d: f.d, n: n, epoch: f.d.epoch}, nil
}

func (f fileSystem) Remove(name string) error {
	if err := f.d.change("remove", name, nil); err != nil {
		return err
	}
	if _, err := f.d.find("remove", name); err != nil {
		return err
	}
	f.d.dirs[path.Clean(path.Dir(name))].change(dirEntry{path.Base(name), nil})
	f.d.did("remove", name)
	return nil
}

func (f fileSystem) Rename(from, to string) error {
	if err := f.d.change("rename", to, nil); err != nil {
		return err
	}
	n, err := f.d.find("rename", from)
	if err != nil {
		return err
	}
	if path.Dir(from) != path.Dir(to) {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrInvalid}
	}
	f.d.dirs[path.Clean(path.Dir(from))].change(dirEntry{path.Base(from), nil}, dirEntry{path.Base(to), n})
	f.d.did("rename", to)
	return nil
}

func (f fileSystem) List(dir string) ([]string, error) {
	if err := f.d.alive(); err != nil {
		return nil, err
	}
	r, err := f.d.directory("list", dir)
	if err != nil {
		return nil, err
	}
	names := sortedKeys(r.names)
	dir = path.Clean(dir)
	for _, sub := range sortedKeys(f.d.dirs) {
		if sub != dir && path.Dir(sub) == dir {
			names = append(names, path.Base(sub))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (f fileSystem) Free(string) (uint64, error) {
	if err := f.d.alive(); err != nil {
		return 0, err
	}
	return uint64(f.d.Free()), nil
}

func (f fileSystem) SyncDir(dir string) error {
	if err := f.d.change("syncdir", dir, nil); err != nil {
		return err
	}
	r, err := f.d.directory("sync", dir)
	if err != nil {
		return err
	}
	if due(&f.d.failSync) {
		return ErrInjected
	}
	r.sync()
	f.d.did("syncdir", dir)
	return nil
}
