package linear

import (
	"bytes"
	"cmp"
	"slices"

	"dlm/sim/history"
)

// outlook is what the operations that are left will make of a file as it is.
type outlook struct {
	// alive: no operation that has to see the file in this life of it (before any delete that is left can take place) sees
	// something else than what it has or may grow into.
	alive bool
	// seen: an operation that is left may see it in this life. removed: a delete is left that was answered, and so found it.
	seen, removed bool
	look          look
}

// look is what can be told of a file by the operations that are left.
type look struct {
	name string
	// is: nothing can be told but that it is there; its length can; its bytes can.
	is   byte
	len  int
	sum  uint32
	data string
}

const (
	isThere byte = iota + 1
	isLong
	isBytes
)

func (m *search) outlook(n *node, name string) outlook {
	f := n.file(name)
	o := outlook{alive: true}
	end := int64(history.Never) // of this life, at the earliest
	for _, i := range m.files[name] {
		if c := m.calls[i]; c.Kind == history.Delete && !n.has(i) {
			end = min(end, c.from)
			o.removed = o.removed || c.answered
		}
	}
	bytes := false
	for _, i := range m.files[name] {
		c := m.calls[i]
		if !c.answered || c.Kind == history.Delete || n.has(i) {
			continue
		}
		if !grows(f, c) {
			o.alive = o.alive && c.by >= end
			continue
		}
		o.seen = true
		bytes = bytes || f != nil && c.Kind == history.ReadFile && f.at(c.Offset, len(c.Data)) != ""
	}
	if f != nil {
		o.look = look{name: name, is: isThere}
		if o.seen {
			o.look.is, o.look.len = isLong, len(f.data)
		}
		if bytes {
			o.look.is, o.look.sum, o.look.data = isBytes, f.sum, f.data
		}
	}
	return o
}

// grows says whether a file may become what an operation saw, by appends alone.
func grows(f *file, c *call) bool {
	if f == nil {
		return true
	}
	switch c.Kind {
	case history.Append:
		return uint64(len(f.data)) <= c.Offset
	case history.ReadFile:
		has := f.at(c.Offset, len(c.Data))
		return uint64(len(f.data)) <= c.Length && has == string(c.Data[:len(has)])
	}
	return false
}

// with is the looks of all files, with the one that is new.
func (n *node) with(name string, l look) []look {
	all := slices.DeleteFunc(slices.Clone(n.looks), func(x look) bool { return x.name == name })
	if l.is != 0 {
		all = append(all, l)
		slices.SortFunc(all, func(a, b look) int { return cmp.Compare(a.name, b.name) })
	}
	return all
}

// canon is what the operations that are left can tell of a state. Two states are one if it is equal: what completes one
// completes the other. What no longer matters is left out: a hold of which it makes no difference any more whether it is
// there (free), what nobody will see of a file, and the instant (lives). So is what follows from which operations have
// taken place, which porcupine compares itself: the last grant, and who is revoked.
type canon struct {
	holds []uint64
	looks []look
	hash  uint64
}

func (m *search) canonical(n *node) canon {
	k := canon{looks: n.looks, hash: 14695981039346656037}
	mix := func(v uint64) { k.hash = (k.hash ^ v) * 1099511628211; k.hash ^= k.hash >> 29 }
	for _, token := range n.holds {
		if m.free(n, token) {
			continue
		}
		k.holds = append(k.holds, token)
		mix(token)
	}
	for i := range k.looks {
		l := &k.looks[i]
		mix(uint64(l.is)<<60 | uint64(l.len)<<32 | uint64(l.sum))
	}
	return k
}

func (k *canon) equal(o *canon) bool {
	return slices.Equal(k.holds, o.holds) && slices.Equal(k.looks, o.looks)
}

// twins: two appends without an answer, under one token, to one file, of which everybody sees the same or nobody sees the
// bytes. The one that was called first can stand for the other wherever that takes place, and the other then for it.
func twins(a, b *call) bool {
	return !a.answered && !b.answered && a.Kind == history.Append && b.Kind == history.Append && a.Token == b.Token &&
		a.Lock == b.Lock && a.File == b.File && len(a.Data) == len(b.Data) && (bytes.Equal(a.Data, b.Data) || !a.read && !b.read)
}
