package sim

import (
	"dlm/core"
	"dlm/replica"
	"dlm/wal"
)

// imageChecker checks that each snapshot is the state at its position, whatever was applied while it was encoded (G5).
//
//	begun: the state's hash --> parts on their way to the disk --> the last one: restore them, compare
type imageChecker struct {
	w     watcher
	begun map[uint64]uint64 // hash of the state, by position; of this life of the server
	data  []byte
}

// flushed looks at a server that has taken a step.
func (c *imageChecker) flushed(n *replica.Node) {
	index, _ := n.Snapshotting()
	if _, known := c.begun[index]; known || index == 0 {
		return
	}
	if c.begun == nil {
		c.begun = map[uint64]uint64{}
	}
	c.begun[index] = n.Core().Hash()
	if n.Applied() != index {
		c.w.fail("G5", "a snapshot of position %d is begun at position %d", index, n.Applied())
	}
}

// down forgets what a process has begun.
func (c *imageChecker) down() { c.begun, c.data = nil, nil }

// part takes a part that was written.
func (c *imageChecker) part(part wal.Snapshot, first, last bool) {
	if first {
		c.data = nil
	}
	c.data = append(c.data, part.Data...)
	if !last {
		return
	}
	want := c.begun[part.Index]
	c.w.checked("G5 image")
	restored, err := core.Restore(c.data)
	switch {
	case err != nil:
		c.w.fail("G5", "the snapshot of position %d cannot be restored: %v", part.Index, err)
	case restored.Hash() != want:
		c.w.fail("G5", "the snapshot of position %d holds another state than that of its position", part.Index)
	}
}
