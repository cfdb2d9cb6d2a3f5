package core

import (
	"slices"

	dlmv1 "dlm/api/dlm/v1"
)

// maxWindow bounds Limits.window, and the length of a request's awaited list whatever the limits are.
const maxWindow = 1 << 16

type slotKind uint8

const (
	slotGap      slotKind = iota // overtaken by a later sequence; not seen yet
	slotWaiting                  // its acquire is in a queue
	slotAnswered                 // it has a result
)

// slot is an awaited sequence: one whose result the client may still ask for.
type slot struct {
	sequence uint64
	digest   uint64 // of the operation, anyDigest for one that was cancelled unseen; 0 in a gap
	answer   *dlmv1.Answer
	waiter   *waiter
	kind     slotKind
}

// window is the memory of a session's sequences.
//
//	   forgotten          awaited: buf[head:]             never seen
//	.................|  12  15  16  gap  18  19  |  20 ...
//	                                          ^ highest
//
// Slots are in order of their sequence, none is above highest. A sequence that is not above highest and has no slot was
// forgotten: it can take no effect any more.
//
// A session keeps the size that the limit had when it was opened, or has had since: its client has sent what fits in it. If
// it shrank under what the client awaits, the client's keep-alives would find no room (L4).
type window struct {
	size    uint64 // how many slots, and how far a sequence may run ahead
	highest uint64
	buf     []slot
	head    int
}

func (w *window) slots() []slot { return w.buf[w.head:] }

// find returns the slot of a sequence, or nil. It is valid until the next admit.
func (w *window) find(sequence uint64) *slot {
	slots := w.slots()
	if n := len(slots); n == 0 || sequence > slots[n-1].sequence || sequence < slots[0].sequence {
		return nil
	}
	i, ok := slices.BinarySearchFunc(slots, sequence, func(s slot, seq uint64) int {
		switch {
		case s.sequence < seq:
			return -1
		case s.sequence > seq:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return &slots[i]
}

// fits says whether a sequence can be admitted: it is in the window, and the window has room once everything has been
// forgotten that the client no longer awaits. A sequence that fills a gap has its slot already.
func (w *window) fits(sequence, watermark uint64, awaited []uint64) bool {
	if sequence <= w.highest {
		return true
	}
	if sequence-w.highest > w.size {
		return false
	}
	kept, below := w.count(watermark, awaited)
	n := uint64(kept + len(w.slots()) - below + 1)
	for _, a := range awaited {
		if a > w.highest {
			n++
		}
	}
	if from := max(watermark, w.highest+1); from < sequence {
		n += sequence - from
	}
	return n <= w.size
}

// count says how many slots lie below the watermark, and how many of those are kept.
func (w *window) count(watermark uint64, awaited []uint64) (kept, below int) {
	slots := w.slots()
	for below < len(slots) && slots[below].sequence < watermark {
		for len(awaited) > 0 && awaited[0] < slots[below].sequence {
			awaited = awaited[1:]
		}
		if slots[below].keep(awaited) {
			kept++
		}
		below++
	}
	return kept, below
}

// keep says whether the slot outlives a watermark above it: it is listed (awaited begins at or after it), or its acquire
// still has a place in a queue, which must not become one that nobody knows of (G8).
func (s *slot) keep(awaited []uint64) bool {
	return s.kind == slotWaiting || (len(awaited) > 0 && awaited[0] == s.sequence)
}

// admit makes room for a sequence that is a gap or above highest, forgets what the client no longer awaits, and returns
// the sequence's slot, a gap still. It is valid until the next admit. False: it does not fit, and nothing has changed.
func (w *window) admit(sequence, watermark uint64, awaited []uint64) (*slot, bool) {
	if !w.fits(sequence, watermark, awaited) {
		return nil, false
	}
	if sequence > w.highest {
		w.forget(watermark, awaited, 0)
		for _, a := range awaited {
			if a > w.highest {
				w.push(a)
			}
		}
		for s := max(watermark, w.highest+1); s < sequence; s++ {
			w.push(s)
		}
		w.push(sequence)
		w.highest = sequence
	} else {
		w.forget(watermark, awaited, sequence)
	}
	return w.find(sequence), true
}

// forget drops the slots below the watermark that are not to be kept.
func (w *window) forget(watermark uint64, awaited []uint64, except uint64) {
	kept, below := w.count(watermark, awaited)
	if kept == below {
		return
	}
	slots := w.slots()
	to := below // what is kept moves up against the watermark, so that the rest of the window stays where it is
	for i := below - 1; i >= 0; i-- {
		for len(awaited) > 0 && awaited[len(awaited)-1] > slots[i].sequence {
			awaited = awaited[:len(awaited)-1]
		}
		listed := len(awaited) > 0 && awaited[len(awaited)-1] == slots[i].sequence
		if listed || slots[i].kind == slotWaiting || slots[i].sequence == except {
			to--
			slots[to] = slots[i]
		}
	}
	clear(slots[:to])
	w.head += to
}

func (w *window) push(sequence uint64) {
	if len(w.buf) == cap(w.buf) && w.head > len(w.buf)/2 {
		n := copy(w.buf, w.slots())
		clear(w.buf[n:])
		w.buf, w.head = w.buf[:n], 0
	}
	w.buf = append(w.buf, slot{sequence: sequence})
}

// reset forgets every result; the sequences stay used.
func (w *window) reset() {
	w.buf, w.head = nil, 0
}
