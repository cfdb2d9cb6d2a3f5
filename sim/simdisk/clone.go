package simdisk

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Clone copies the disk as it is; faults that wait to strike are not copied.
func (d *Disk) Clone(rng rand.Source) *Disk {
	c := New(rng)
	files := map[*inode]*inode{}
	file := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		if files[n] == nil {
			files[n] = &inode{
				cache: slices.Clone(n.cache), medium: slices.Clone(n.medium), length: n.length, lengthIs: n.lengthIs,
				sectorIs: slices.Clone(n.sectorIs), anyChange: n.anyChange, hidden: n.hidden,
			}
		}
		return files[n]
	}
	names := func(of map[string]*inode) map[string]*inode {
		m := maps.Clone(of)
		for _, name := range sortedKeys(m) {
			m[name] = file(m[name])
		}
		return m
	}
	for _, name := range sortedKeys(d.dirs) {
		dir := d.dirs[name]
		r := &directory{names: names(dir.names), durable: names(dir.durable)}
		for _, change := range dir.pending {
			var copied dirChange
			for _, e := range change {
				copied = append(copied, dirEntry{e.name, file(e.file)})
			}
			r.pending = append(r.pending, copied)
		}
		c.dirs[name] = r
	}
	return c
}
