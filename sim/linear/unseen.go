package linear

import (
	"bytes"
	"slices"

	"dlm/sim/history"
)

// seen leaves out the calls without an answer of which no order needs that they have taken place: one that has no effect,
// or none that shows, may as well come when all is over, where it disturbs nobody. So the history is linearizable without
// them if and only if it is with them. It goes by nothing but what clients saw and what lay on the disk in the end.
//
// (The locks and files that only such a call joins stay one part: tokens ascend over all locks of a part.)
func (m spec) seen(part []history.Op) []history.Op {
	if !slices.ContainsFunc(part, func(op history.Op) bool { return open(&op) }) {
		return part
	}
	gone, granted := m.whenGone(part), map[uint64]bool{}
	for _, op := range part {
		granted[op.Token] = granted[op.Token] || op.Kind == history.Grant
	}
	ops := slices.DeleteFunc(slices.Clone(part), func(op history.Op) bool {
		h := m.holds[op.Token]
		return open(&op) && (!granted[op.Token] || h.Shared || h.Lock != op.Lock || by(gone, op.Token) < op.Call)
	})
	// Deletes first: the fewer there are, the more is known of what must still be there.
	for _, kind := range []history.Kind{history.Delete, history.Append} {
		files := map[string][]*history.Op{}
		for i, op := range ops {
			if op.File != "" {
				files[op.File] = append(files[op.File], &ops[i])
			}
		}
		ops = slices.DeleteFunc(slices.Clone(ops), func(op history.Op) bool { return op.Kind == kind && open(&op) && !matters(&op, files[op.File]) })
	}
	return ops
}

// open is a call without an answer: it may have taken place at any instant since, or never.
func open(op *history.Op) bool {
	return op.Return == history.Never && (op.Kind == history.Append || op.Kind == history.Delete)
}

// whenGone is by when a token was gone: the first return of an operation that needs that.
func (m spec) whenGone(ops []history.Op) map[uint64]int64 {
	gone := map[uint64]int64{}
	for _, op := range ops {
		switch op.Kind {
		case history.Release:
			gone[op.Token] = min(by(gone, op.Token), op.Return)
		case history.Grant:
			for _, other := range ops {
				if h := m.holds[other.Token]; other.Kind == history.Grant && other.Token < op.Token && h.Lock == op.Lock && !(h.Shared && op.Shared) {
					gone[other.Token] = min(by(gone, other.Token), op.Return)
				}
			}
		}
	}
	return gone
}

func by(gone map[uint64]int64, token uint64) int64 {
	if at, ok := gone[token]; ok {
		return at
	}
	return history.Never
}

// matters says whether any operation on the file can tell that an open call had an effect.
func matters(c *history.Op, file []*history.Op) bool {
	var last *history.Op // what lay on the disk after everything else
	deleted, until := int64(-1), int64(-1)
	some := false
	for _, op := range file {
		if op.Kind == history.Delete && op != c {
			deleted = max(deleted, op.Return)
		}
		if open(op) {
			continue
		}
		until = max(until, op.Return)
		if op.Kind == history.ReadFile && op.Offset == 0 && uint64(len(op.Data)) == op.Length && (last == nil || op.Call > last.Call) {
			last = op
		}
		some = some || op.Return >= c.Call && tells(c, op)
	}
	// What was not deleted since was still there when everybody had seen what he saw.
	if c.Kind == history.Append && deleted < c.Call && last != nil && last.Call >= until {
		some = some && tells(c, last)
	}
	return some
}

// tells says whether an operation can be one that comes after the effect of an open call and would not be the same without.
func tells(c, op *history.Op) bool {
	switch {
	case c.Kind == history.Delete:
		return op.Kind != history.Delete
	case op.Kind == history.Delete:
		return true
	case op.Kind == history.Append:
		return uint64(len(c.Data)) <= op.Offset
	case op.Kind == history.ReadFile:
		somewhere, _ := contains(op, c.Data)
		return somewhere
	}
	return false
}

// contains says whether a file of which a read saw this may contain some bytes: anywhere, and where the read saw some of them.
func contains(read *history.Op, data []byte) (anywhere, visibly bool) {
	n, from := uint64(len(data)), read.Offset
	to := from + uint64(len(read.Data))
	if n > read.Length {
		return false, false
	}
	at := func(o uint64) bool { // some of the bytes at o were read
		a, b := max(o, from), min(o+n, to)
		return bytes.Equal(data[a-o:b-o], read.Data[a-from:b-from])
	}
	inside := bytes.Contains(read.Data, data) && n > 0
	for o := from - min(from, n-min(n, 1)); o < from && !inside; o++ {
		inside = o+n <= read.Length && o+n > from && from < to && at(o)
	}
	for o := max(from, to-min(to, n-min(n, 1))); o < to && !inside; o++ {
		inside = o+n <= read.Length && at(o)
	}
	return inside || n == 0 || from >= n || read.Length-min(read.Length, to) >= n || from == to, inside
}
