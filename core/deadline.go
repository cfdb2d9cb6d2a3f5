package core

// deadlineKind orders what is due at the same stamp. The order decides who is granted what, so it is frozen.
type deadlineKind uint8

const (
	dueSession deadlineKind = iota + 1 // id: session
	dueHold                            // hold limit; id: token
	dueWait                            // wait timeout; id: of the waiter
	dueDelay                           // end of a lock-delay; id: token of the hold whose loss began it
	dueBlock                           // end of a revoked hold's block; id: token
)

// owner is what a deadline belongs to.
type owner interface {
	// due is called once the deadline has passed; it is no longer in the heap then.
	due(c *Core)
}

// deadline is one item of the heap; it lies in its owner.
//
// Renewals only move a deadline back, and there is one with nearly every request. So a later deadline is written to
// `at` alone, and the heap finds out when the item has come to its top.
type deadline struct {
	at    uint64 // when it is due
	key   uint64 // by what the heap orders it; at most `at`
	id    uint64
	owner owner
	place int32 // 1 + position in the heap; 0 = not in it
	kind  deadlineKind
}

// stamp is when it is due; 0 = there is none.
func (d *deadline) stamp() uint64 {
	if d == nil {
		return 0
	}
	return d.at
}

// deadlines is a heap, ordered by (key, kind, id).
type deadlines struct {
	heap []*deadline
}

// set makes d due at the stamp, whether it is in the heap or not.
func (h *deadlines) set(d *deadline, at uint64) {
	d.at = at
	switch {
	case d.place == 0:
		d.key = at
		h.heap = append(h.heap, d)
		d.place = int32(len(h.heap))
		h.up(d)
	case at < d.key:
		d.key = at
		h.up(d)
	}
}

// remove takes d out; it need not be in.
func (h *deadlines) remove(d *deadline) {
	if d.place == 0 {
		return
	}
	end := len(h.heap) - 1
	last := h.heap[end]
	h.heap[end] = nil
	h.heap = h.heap[:end]
	if last != d {
		last.place = d.place
		h.heap[last.place-1] = last
		h.up(last)
		h.down(last)
	}
	d.place = 0
}

// firstDue is the item to be dealt with next, if one is due by now. No key is later than what it stands for, so most
// calls look at the top alone.
func (h *deadlines) firstDue(now uint64) *deadline {
	if len(h.heap) == 0 || h.heap[0].key > now {
		return nil
	}
	if d := h.first(); d.at <= now {
		return d
	}
	return nil
}

// first is the item that is due next, or nil.
func (h *deadlines) first() *deadline {
	for len(h.heap) > 0 {
		d := h.heap[0]
		if d.key == d.at {
			return d
		}
		d.key = d.at
		h.down(d)
	}
	return nil
}

func (d *deadline) before(o *deadline) bool {
	if d.key != o.key {
		return d.key < o.key
	}
	if d.kind != o.kind {
		return d.kind < o.kind
	}
	return d.id < o.id
}

func (h *deadlines) up(d *deadline) {
	i := int(d.place) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !d.before(h.heap[parent]) {
			break
		}
		h.heap[i] = h.heap[parent]
		h.heap[i].place = int32(i + 1)
		i = parent
	}
	h.heap[i] = d
	d.place = int32(i + 1)
}

func (h *deadlines) down(d *deadline) {
	i := int(d.place) - 1
	for {
		child := 2*i + 1
		if child >= len(h.heap) {
			break
		}
		if r := child + 1; r < len(h.heap) && h.heap[r].before(h.heap[child]) {
			child = r
		}
		if !h.heap[child].before(d) {
			break
		}
		h.heap[i] = h.heap[child]
		h.heap[i].place = int32(i + 1)
		i = child
	}
	h.heap[i] = d
	d.place = int32(i + 1)
}
