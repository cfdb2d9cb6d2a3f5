package simdisk

// Op is a changing operation: what was done to which file or directory.
type Op struct {
	Kind string // create, remove, rename, syncdir, mkdir, write, truncate, sync
	Name string // path; of a rename the new one
}

// op is an Op before somebody asks for its name.
type op struct {
	kind string
	name string
	n    *inode // of an open file, whose name may have changed since it was opened
}

func (d *Disk) public(o op) Op {
	name := o.name
	if o.n != nil {
		name = d.nameOf(o.n)
	}
	return Op{o.kind, name}
}

// did tells who watches of a change of names that has taken place.
func (d *Disk) did(kind, name string) {
	if d.Watch != nil {
		d.Watch(Op{kind, name})
	}
}

// Stopped returns the operation that StopAfter refused first since the last
// crash, and the last one before it. ok is false if it refused none.
func (d *Disk) Stopped() (before, refused Op, ok bool) {
	return d.public(d.last), d.public(d.refused), d.refused.kind != ""
}
