package simdisk

import (
	"bytes"
	"fmt"
	"path"
	"slices"
)

// Damage is something that happened to synced bytes at rest, and what they
// were before.
type Damage struct {
	File   string // path
	Offset int64  // of the first byte that is different

	n       *inode
	was, is []byte // from Offset on
	left    []bool // is damaged, and nothing was written there since
	over    bool   // it was undone, or a copy has taken its place
}

// Damage puts other bytes in the place of synced ones, as a medium that rots
// or a write that lands in the wrong place does. Unless cached, only the
// medium has them, and readers see them after the next power cut.
func (d *Disk) Damage(name string, offset int64, bad []byte, cached bool) (*Damage, error) {
	n, err := d.find("damage", name)
	if err != nil {
		return nil, err
	}
	from, to := int(offset), int(offset)+len(bad)
	if from < 0 || len(bad) == 0 || to > min(len(n.cache), len(n.medium)) || !n.synced(from, to) {
		return nil, fmt.Errorf("simdisk: damage to [%d, %d) of %s, which has %d bytes, or they are not synced", from, to, name, len(n.cache))
	}
	for _, other := range n.damage {
		if other.Live() && int(other.Offset) < to && from < int(other.Offset)+len(other.left) {
			return nil, fmt.Errorf("simdisk: damage to [%d, %d) of %s, which is damaged there already", from, to, name)
		}
	}
	g := &Damage{File: path.Clean(name), n: n, was: slices.Clone(n.medium[from:to]), is: slices.Clone(bad), left: make([]bool, len(bad))}
	first := -1
	for i := range bad {
		g.left[i] = g.is[i] != g.was[i]
		if g.left[i] && first < 0 {
			first = i
		}
	}
	if first < 0 {
		return nil, fmt.Errorf("simdisk: damage to [%d, %d) of %s that changes nothing", from, to, name)
	}
	g.was, g.is, g.left, g.Offset = g.was[first:], g.is[first:], g.left[first:], offset+int64(first)
	copy(n.medium[from:], bad)
	if cached {
		copy(n.cache[from:], bad)
	} else {
		n.hidden = true
	}
	n.damage = append(n.damage, g)
	return g, nil
}

// Synced says whether the bytes [from, to) of a file are on the medium as
// readers see them.
func (d *Disk) Synced(name string, from, to int64) bool {
	n, err := d.find("damage", name)
	return err == nil && from >= 0 && int(to) <= min(len(n.cache), len(n.medium)) && n.synced(int(from), int(to))
}

// Bytes returns what readers see of a file.
func (d *Disk) Bytes(name string) []byte {
	n, err := d.find("look at", name)
	if err != nil {
		return nil
	}
	return slices.Clone(n.cache)
}

// Name is the path under which the damaged file is found now, "" if it is gone.
func (g *Damage) Name(d *Disk) string { return d.nameOf(g.n) }

// Last is the offset of the last byte that was damaged.
func (g *Damage) Last() int64 {
	for i := len(g.left) - 1; i > 0; i-- {
		if g.is[i] != g.was[i] {
			return g.Offset + int64(i)
		}
	}
	return g.Offset
}

// Live says whether some of it is left on the medium; Seen whether readers
// see it.
func (g *Damage) Live() bool { return slices.Contains(g.left, true) }

// Seen says whether readers see some of it.
func (g *Damage) Seen() bool {
	for i, left := range g.left {
		if at := int(g.Offset) + i; left && at < len(g.n.cache) && g.n.cache[at] == g.is[i] {
			return true
		}
	}
	return false
}

// Copied returns the copy that the file's user has made of damage to the bytes
// [from, to): read and put in their place again, or into another file that has
// taken the name. From then on the copy stands for g; nil if there is none,
// if those bytes are not all as damaged as they were, or after Undo.
func (d *Disk) Copied(g *Damage, from, to int64) *Damage {
	n, err := d.find("look at", g.File)
	from, to = max(from, g.Offset), min(to, g.Offset+int64(len(g.is)))
	if err != nil || g.over || from >= to || int(to) > len(n.cache) {
		return nil
	}
	is, was := g.is[from-g.Offset:to-g.Offset], g.was[from-g.Offset:to-g.Offset]
	if bytes.Equal(is, was) || !bytes.Equal(n.cache[from:to], is) {
		return nil
	}
	c := &Damage{File: g.File, Offset: from, n: n, was: was, is: is, left: make([]bool, len(is))}
	for i := range is {
		c.left[i] = is[i] != was[i]
	}
	n.damage = append(n.damage, c)
	g.over = true
	return c
}

// Undo repairs what is left of it.
func (g *Damage) Undo() {
	g.over = true
	for i, left := range g.left {
		at := int(g.Offset) + i
		if left && at < len(g.n.medium) {
			g.n.medium[at] = g.was[i]
		}
		if left && at < len(g.n.cache) {
			g.n.cache[at] = g.was[i]
		}
		g.left[i] = false
	}
}

// Mend puts what is left of it right in a copy of the file's bytes.
func (g *Damage) Mend(b []byte) {
	for i, left := range g.left {
		if at := int(g.Offset) + i; left && at < len(b) {
			b[at] = g.was[i]
		}
	}
}

// overwritten: the bytes [from, to) were written by the file's user.
func (n *inode) overwritten(from, to int) {
	for _, g := range n.damage {
		for at := max(from, int(g.Offset)); at < min(to, int(g.Offset)+len(g.left)); at++ {
			g.left[at-int(g.Offset)] = false
		}
	}
}

// stored: sector s of the medium has this content now.
func (n *inode) stored(s int, content []byte) {
	for _, g := range n.damage {
		for i, left := range g.left {
			if at := int(g.Offset) + i - s*sectorSize; left && at >= 0 && at < sectorSize && content[at] != g.is[i] {
				g.left[i] = false
			}
		}
	}
}

func (n *inode) synced(from, to int) bool {
	for s := from / sectorSize; s*sectorSize < to; s++ {
		if s < len(n.sectorIs) && n.sectorIs[s] != clean {
			return false
		}
	}
	return n.lengthIs == clean
}

func (d *Disk) nameOf(n *inode) string {
	for _, dir := range sortedKeys(d.dirs) {
		for _, name := range sortedKeys(d.dirs[dir].names) {
			if d.dirs[dir].names[name] == n {
				return path.Join(dir, name)
			}
		}
	}
	return ""
}
