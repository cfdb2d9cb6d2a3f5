package linear

import (
	"hash/crc32"
	"slices"
	"strings"

	"dlm/sim/history"
)

// spec is the sequential specification of some locks and files: what may follow what, one operation after the other. It is
// deterministic: a hold stays in the state, and in force, until an operation needs it to be gone or revoked, since to let
// that happen earlier explains nothing more.
type spec struct {
	holds map[uint64]history.Hold
}

// state is immutable.
type state struct {
	at      int64 // the earliest instant that this may be
	last    uint64
	holds   []uint64 // tokens, ascending
	revoked []uint64
	files   []file // by name
}

type file struct {
	name string
	data string
	sum  uint32
}

// call is an operation with the instants between which it took place. One that was not answered has until the end of time.
type call struct {
	*history.Op
	answered bool
	from, by int64
	index    int  // in search.calls
	read     bool // of an append that was not answered: a read may have seen some of its bytes
}

func newSpec(holds []history.Hold) spec {
	m := spec{holds: map[uint64]history.Hold{}}
	for _, h := range holds {
		m.holds[h.Token] = h
	}
	return m
}

// step lets an operation take place. next is the state after it, and ok whether its client could then have seen what it saw.
func (m spec) step(s *state, op *call) (next *state, ok bool) {
	n := &state{at: max(s.at, op.from), last: s.last, holds: s.holds, revoked: s.revoked, files: s.files}
	switch op.Kind {
	case history.Grant:
		ok = op.Token > s.last
		m.admits(n, op)
		n.last = op.Token
		n.holds = append(slices.Clone(n.holds), op.Token)
	case history.Release:
		ok = op.Token <= s.last
		n.drop(op.Token)
	case history.Refused:
		ok = op.Token <= s.last
		m.refuses(n, op)
	case history.Append, history.Delete:
		ok = m.change(n, op)
	case history.View:
		ok = m.sees(n, op)
	case history.Current:
		ok = n.current(op.Token)
	case history.ReadFile:
		f := n.file(op.File)
		ok = f != nil && uint64(len(f.data)) == op.Length && f.at(op.Offset, len(op.Data)) == string(op.Data)
	case history.NoFile:
		ok = n.file(op.File) == nil
	}
	return n, ok && n.at <= op.by
}

// admits: every hold that is in the way of a grant is over.
func (m spec) admits(n *state, op *call) {
	for _, token := range slices.Clone(n.holds) {
		if h := m.holds[token]; h.Lock == op.Lock && !(h.Shared && op.Shared) {
			m.ends(n, token)
		}
	}
}

// ends lets a hold end, not before it may have.
func (m spec) ends(n *state, token uint64) {
	n.at = max(n.at, m.holds[token].Ends)
	n.drop(token)
}

// revokes lets a hold be revoked, not before it may have been. It is still in the way then.
func (m spec) revokes(n *state, token uint64) {
	n.at = max(n.at, m.holds[token].RevokeFrom)
	if slices.Contains(n.holds, token) && !slices.Contains(n.revoked, token) {
		n.revoked = append(slices.Clone(n.revoked), token)
		slices.Sort(n.revoked)
	}
}

// refuses: the hold has been revoked, and may be gone since; or it is gone.
func (m spec) refuses(n *state, op *call) {
	if op.Revoked {
		m.revokes(n, op.Token)
	} else if slices.Contains(n.holds, op.Token) {
		m.ends(n, op.Token)
	}
}

// change carries out an append or a delete. One that was not answered does nothing where it cannot: it was refused then.
func (m spec) change(n *state, op *call) bool {
	if !m.writable(n, op) {
		return !op.answered
	}
	f := n.file(op.File)
	if op.Kind == history.Delete {
		n.files = slices.DeleteFunc(slices.Clone(n.files), func(x file) bool { return x.name == op.File })
		return f != nil || !op.answered
	}
	grown := file{name: op.File}
	if f != nil {
		grown = *f
	}
	offset := uint64(len(grown.data))
	grown.data += string(op.Data)
	grown.sum = crc32.Update(grown.sum, crc32.IEEETable, op.Data)
	n.files = append(slices.DeleteFunc(slices.Clone(n.files), func(x file) bool { return x.name == op.File }), grown)
	slices.SortFunc(n.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return offset == op.Offset || !op.answered
}

// writable says whether the operation's token lets it change files.
func (m spec) writable(s *state, op *call) bool {
	return s.current(op.Token) && !m.holds[op.Token].Shared && m.holds[op.Token].Lock == op.Lock
}

// sees: a read saw exactly these holders of a lock.
func (m spec) sees(n *state, op *call) bool {
	for _, token := range slices.Clone(n.holds) {
		if m.holds[token].Lock == op.Lock && !listed(op.Holders, token) {
			m.ends(n, token)
		}
	}
	for _, h := range op.Holders {
		known := m.holds[h.Token]
		switch {
		case !slices.Contains(n.holds, h.Token), known.Session != h.Session, known.Shared != h.Shared, known.Lock != op.Lock:
			return false
		case h.Revoked:
			if n.current(h.Token) {
				m.revokes(n, h.Token)
			}
		case !n.current(h.Token):
			return false
		}
	}
	return true
}

func listed(holders []history.Holder, token uint64) bool {
	return slices.ContainsFunc(holders, func(h history.Holder) bool { return h.Token == token })
}

func (s *state) current(token uint64) bool {
	return slices.Contains(s.holds, token) && !slices.Contains(s.revoked, token)
}

func (s *state) drop(token uint64) {
	if i := slices.Index(s.holds, token); i >= 0 {
		s.holds = slices.Delete(slices.Clone(s.holds), i, i+1)
	}
	if i := slices.Index(s.revoked, token); i >= 0 {
		s.revoked = slices.Delete(slices.Clone(s.revoked), i, i+1)
	}
}

func (s *state) file(name string) *file {
	for i := range s.files {
		if s.files[i].name == name {
			return &s.files[i]
		}
	}
	return nil
}

func (f *file) at(offset uint64, n int) string {
	from := min(offset, uint64(len(f.data)))
	return f.data[from:min(from+uint64(n), uint64(len(f.data)))]
}
