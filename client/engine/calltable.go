package engine

// Call names one call of the application until its Completion. Never 0, and not used again before 2^40 calls more.
type Call uint64

// placeBits is how many bits of a Call are its place; the others count calls.
const placeBits = 24

// Place is below how many calls there have been at once. A call shares it with no other until the Flush after the one that returned its
// Completion: what a caller keeps for each call can lie in a slice instead of a map.
func (c Call) Place() int { return int(c & (1<<placeBits - 1)) }

// callTable holds the pending calls.
type callTable struct {
	at     []*call // by place
	free   []int   // places; the one that came free last goes first
	serial uint64  // of the last call
	size   int     // pending calls
}

// add names a call.
func (t *callTable) add(c *call) {
	place := len(t.at)
	if n := len(t.free); n > 0 {
		place, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.at = append(t.at, nil)
	}
	t.serial++
	c.id = Call(t.serial<<placeBits) | Call(place)
	t.at[place] = c
	t.size++
}

// get finds a pending call, or nil.
func (t *callTable) get(id Call) *call {
	if place := id.Place(); place < len(t.at) {
		if c := t.at[place]; c != nil && c.id == id {
			return c
		}
	}
	return nil
}

// remove ends a call. Its place stays taken.
func (t *callTable) remove(c *call) {
	t.at[c.id.Place()] = nil
	t.size--
}

// release lets the place of a call that was removed be used again.
func (t *callTable) release(id Call) { t.free = append(t.free, id.Place()) }
