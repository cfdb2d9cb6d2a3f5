package simdisk

import (
	"fmt"
	"path"

	"dlm/wal/vfs"
)

// plenty is what Free says of a disk without a limit.
const plenty = 1 << 40

// SetFree leaves room for n more bytes, counted in whole sectors of all
// files; -1 lifts the limit.
func (d *Disk) SetFree(n int64) {
	d.fillAfter = -1
	if n < 0 {
		d.capacity = -1
		return
	}
	d.capacity = d.used() + n
}

// FillAfter takes all room away when n more operations have taken some for
// files of a directory: as when others fill the disk meanwhile.
func (d *Disk) FillAfter(n int, dir string) { d.fillAfter, d.fillDir = n, path.Clean(dir) }

// Limited says whether there is a limit.
func (d *Disk) Limited() bool { return d.capacity >= 0 }

// Free returns how many bytes there is room for.
func (d *Disk) Free() int64 {
	if d.capacity < 0 {
		return plenty
	}
	return max(d.capacity-d.used(), 0)
}

func (d *Disk) used() (n int64) {
	for _, dir := range sortedKeys(d.dirs) {
		for _, name := range sortedKeys(d.dirs[dir].names) {
			n += sectors(len(d.dirs[dir].names[name].cache))
		}
	}
	return n
}

func sectors(size int) int64 { return int64(size+sectorSize-1) / sectorSize * sectorSize }

// fits returns up to which size a file can grow, at most to the one wanted.
func (d *Disk) fits(n *inode, size int) int {
	if d.fillAfter >= 0 && sectors(size) > sectors(len(n.cache)) && path.Dir(d.nameOf(n)) == d.fillDir && due(&d.fillAfter) {
		d.SetFree(0)
	}
	if d.capacity < 0 || size <= len(n.cache) {
		return size
	}
	return min(size, int(sectors(len(n.cache))+d.Free()))
}

func noSpace(what string) error { return fmt.Errorf("%w: %s", vfs.ErrNoSpace, what) }
