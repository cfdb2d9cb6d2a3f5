package engine

import (
	"cmp"
	"slices"
)

// awaited are the requests of a session whose answers are awaited, in order of sequence. Answers come about in that order, not quite: who
// leaves leaves a gap, which goes when it is the first, or when there are many. To close each at once would move all that lie behind it.
type awaited struct {
	slots []slot // the first one is no gap
	head  int    // slots before it are free
	count int    // requests
}

type slot struct {
	sequence uint64
	request  *request // nil: a gap
}

func (a *awaited) list() []slot { return a.slots[a.head:] }

// add appends a request; its sequence is above all others.
func (a *awaited) add(r *request) {
	if len(a.slots) == cap(a.slots) && a.head > len(a.slots)/2 {
		a.compact()
	}
	a.slots = append(a.slots, slot{r.sequence, r})
	a.count++
}

// index is the place of a sequence in list.
func (a *awaited) index(sequence uint64) (int, bool) {
	list := a.list()
	if len(list) == 0 || sequence < list[0].sequence {
		return 0, false
	}
	// Mostly there is a slot for each.
	i := int(min(sequence-list[0].sequence, uint64(len(list)-1)))
	if list[i].sequence != sequence {
		var ok bool
		if i, ok = slices.BinarySearchFunc(list, sequence, func(s slot, to uint64) int { return cmp.Compare(s.sequence, to) }); !ok {
			return 0, false
		}
	}
	return i, list[i].request != nil
}

func (a *awaited) find(sequence uint64) *request {
	if i, ok := a.index(sequence); ok {
		return a.list()[i].request
	}
	return nil
}

// fewGaps are not worth closing.
const fewGaps = 64

func (a *awaited) remove(sequence uint64) {
	i, ok := a.index(sequence)
	if !ok {
		return
	}
	a.list()[i].request = nil
	a.count--
	for a.head < len(a.slots) && a.slots[a.head].request == nil {
		a.head++
	}
	if gaps := len(a.list()) - a.count; gaps > fewGaps && gaps > a.count {
		a.compact()
	}
}

// compact closes the gaps.
func (a *awaited) compact() {
	kept := slices.DeleteFunc(a.list(), func(s slot) bool { return s.request == nil })
	n := copy(a.slots, kept)
	clear(a.slots[n:])
	a.slots, a.head = a.slots[:n], 0
}

// all is a copy.
func (a *awaited) all() []*request {
	all := make([]*request, 0, a.count)
	for _, s := range a.list() {
		if s.request != nil {
			all = append(all, s.request)
		}
	}
	return all
}

// watermark says what an awaited request is to say of the others: from which sequence on all are awaited, and which are below that. What
// lies between the watermark and the request and is not awaited costs the server room in the window, listing costs bytes: as few are
// listed as leaves at most so many.
func (a *awaited) watermark(sequence uint64, most uint64) (watermark uint64, listed []uint64) {
	list := a.list()
	first, last := list[0].sequence, list[len(list)-1].sequence
	if last-first+1-uint64(a.count) <= most {
		return first, nil
	}
	a.compact()
	list = a.list()
	at, _ := a.index(sequence)
	gaps := func(i int) uint64 { return sequence - list[i].sequence - uint64(at-i) }
	from := 0
	if gaps(0) > most {
		lo, hi := 0, at // gaps(lo) > most >= gaps(hi)
		for lo+1 < hi {
			if mid := (lo + hi) / 2; gaps(mid) > most {
				lo = mid
			} else {
				hi = mid
			}
		}
		from = hi
	}
	for _, s := range list[:from] {
		listed = append(listed, s.sequence)
	}
	return list[from].sequence, listed
}
