package core

import (
	"cmp"
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

// search is the index of the first slot whose sequence is not below this one.
func (w *window) search(sequence uint64) int {
	slots := w.slots()
	n := len(slots)
	if n == 0 || sequence > slots[n-1].sequence {
		return n
	}
	// Mostly no sequence between it and the last is without a slot.
	if back := slots[n-1].sequence - sequence; back < uint64(n) && slots[n-1-int(back)].sequence == sequence {
		return n - 1 - int(back)
	}
	i, _ := slices.BinarySearchFunc(slots, sequence, func(s slot, seq uint64) int { return cmp.Compare(s.sequence, seq) })
	return i
}

// find returns the slot of a sequence, or nil. It is valid until the next admit.
func (w *window) find(sequence uint64) *slot {
	slots := w.slots()
	if i := w.search(sequence); i < len(slots) && slots[i].sequence == sequence {
		return &slots[i]
	}
	return nil
}

// fits says whether a sequence can be admitted: it is in the window, and the window has room once everything has been
// forgotten that the client no longer awaits. A sequence that fills a gap has its slot already. waits is how many slots wait.
func (w *window) fits(sequence, watermark uint64, awaited []uint64, waits int) bool {
	if sequence <= w.highest {
		return true
	}
	if sequence-w.highest > w.size {
		return false
	}
	n := uint64(len(w.slots()) + 1)
	for i := len(awaited) - 1; i >= 0 && awaited[i] > w.highest; i-- {
		n++
	}
	if from := max(watermark, w.highest+1); from < sequence {
		n += sequence - from
	}
	if n <= w.size {
		return true
	}
	// Only now it matters what is forgotten: all below the watermark but for what is listed or waits, at most so many.
	below := w.search(watermark)
	if n -= uint64(below); n+uint64(min(below, len(awaited)+waits)) <= w.size {
		return true
	}
	return n+uint64(w.kept(below, awaited)) <= w.size
}

// kept says how many of the first slots, which lie below the watermark, are kept.
func (w *window) kept(below int, awaited []uint64) (n int) {
	for i := range w.slots()[:below] {
		at := &w.slots()[i]
		for len(awaited) > 0 && awaited[0] < at.sequence {
			awaited = awaited[1:]
		}
		if at.keep(awaited) {
			n++
		}
	}
	return n
}

// keep says whether the slot outlives a watermark above it: it is listed (awaited begins at or after it), or its acquire
// still has a place in a queue, which must not become one that nobody knows of (G8).
func (s *slot) keep(awaited []uint64) bool {
	return s.kind == slotWaiting || (len(awaited) > 0 && awaited[0] == s.sequence)
}

// admit makes room for a sequence that is a gap or above highest, forgets what the client no longer awaits, and returns
// the sequence's slot, a gap still. It is valid until the next admit. False: it does not fit, and nothing has changed.
func (w *window) admit(sequence, watermark uint64, awaited []uint64, waits int) (*slot, bool) {
	if !w.fits(sequence, watermark, awaited, waits) {
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
	below := w.search(watermark)
	if below == 0 || w.kept(below, awaited) == below {
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
