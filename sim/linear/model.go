package linear

import (
	"hash/crc32"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"dlm/sim/history"
)

// model is the sequential specification of some locks and files. It is deterministic: a hold stays in the state until an
// operation needs it to be gone, since to let it go earlier explains nothing more.
type model struct {
	holds map[uint64]history.Hold
	gone  map[uint64]int64 // token -> the first return of an operation that needs it gone
	uses  map[uint64]int   // token -> how many operations need it to be there
	rank  map[uint64]int   // token -> how many are granted before it, in these operations
	steps int
	most  int
	// deepest is the state after the longest order that fits, stuck what could not follow it. For the report.
	deepest *state
	stuck   []*call
}

// state is immutable.
type state struct {
	at      int64 // the earliest instant that this may be
	last    uint64
	holds   []uint64 // tokens, ascending
	revoked []uint64
	files   []file // by name
	// used: how many of a token's uses have taken place. It follows from which operations have, so it is no part of equal.
	used []use
	// n is the number of operations so far, granted that of grants.
	n, granted int
}

type use struct {
	token uint64
	n     int
}

type file struct {
	name string
	data string
	sum  uint32
}

// call is an operation with the instants between which it took place, or after which it makes no difference any more.
type call struct {
	*history.Op
	answered bool
	from, by int64
}

func newModel(holds []history.Hold, ops []history.Op, most int) *model {
	m := &model{holds: map[uint64]history.Hold{}, gone: map[uint64]int64{}, uses: map[uint64]int{}, most: most}
	for _, h := range holds {
		m.holds[h.Token] = h
	}
	var granted []uint64
	for _, op := range ops {
		if op.Kind == history.Grant {
			granted = append(granted, op.Token)
		}
	}
	slices.Sort(granted)
	m.rank = map[uint64]int{}
	for i, token := range granted {
		m.rank[token] = i // of a token that is granted twice only the last place is left, and then the first never fits
	}
	for _, op := range ops {
		for _, token := range needed(&op) {
			m.uses[token]++
		}
		switch op.Kind {
		case history.Release:
			m.needsGone(op.Token, op.Return)
		case history.Grant:
			for _, other := range ops {
				if h := m.holds[other.Token]; other.Kind == history.Grant && other.Token < op.Token && h.Lock == op.Lock && !(h.Shared && op.Shared) {
					m.needsGone(other.Token, op.Return)
				}
			}
		}
	}
	return m
}

func (m *model) needsGone(token uint64, at int64) {
	if was, ok := m.gone[token]; !ok || at < was {
		m.gone[token] = at
	}
}

// settle says by when an operation has taken place, or makes no difference any more: one that was not answered does
// nothing once its token is gone. That keeps the search small.
func (m *model) settle(op *history.Op) *call {
	c := &call{Op: op, answered: op.Return != history.Never, from: op.Call, by: op.Return}
	if at, ok := m.gone[op.Token]; ok && !c.answered {
		c.by = max(at, op.Call)
	}
	return c
}

func (m *model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return &state{} },
		Step: func(s, in, _ any) (bool, any) {
			if m.steps++; m.steps > m.most {
				return false, s // the search ends soon, and nobody takes its result for one
			}
			before, op := s.(*state), in.(*call)
			next, ok := m.step(before, op)
			if ok && (m.deepest == nil || next.n > m.deepest.n) {
				m.deepest, m.stuck = next, nil
			} else if !ok && before == m.deepest {
				m.stuck = append(m.stuck, op)
			}
			return ok, next
		},
		Equal: func(a, b any) bool { return a.(*state).equal(b.(*state)) },
		Hash:  func(s any) uint64 { return s.(*state).hash() },
	}
}

// step lets an operation take place. next is the state after it, and ok whether its client could then have seen what it saw.
func (m *model) step(s *state, op *call) (next *state, ok bool) {
	n := &state{at: max(s.at, op.from), last: s.last, holds: s.holds, revoked: s.revoked, files: s.files, used: s.used, n: s.n + 1, granted: s.granted}
	for _, token := range needed(op.Op) {
		n.use(token)
	}
	switch op.Kind {
	case history.Grant:
		ok = m.rank[op.Token] == s.granted && m.admits(n, op)
		n.last = op.Token
		n.granted++
		n.holds = append(slices.Clone(n.holds), op.Token)
	case history.Release:
		ok = op.Token <= s.last
		n.drop(op.Token)
	case history.Refused:
		ok = !n.current(op.Token) || m.loses(n, op)
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

// admits: every hold that is in the way of a grant must be over.
func (m *model) admits(n *state, op *call) bool {
	for _, token := range slices.Clone(n.holds) {
		if h := m.holds[token]; h.Lock == op.Lock && !(h.Shared && op.Shared) && !m.ends(n, token, op.by) {
			return false
		}
	}
	return true
}

// needed are the tokens that an operation needs to be there.
func needed(op *history.Op) (tokens []uint64) {
	switch op.Kind {
	case history.View:
		for _, h := range op.Holders {
			tokens = append(tokens, h.Token)
		}
	case history.Append, history.Delete, history.Current:
		if op.Return != history.Never {
			tokens = append(tokens, op.Token)
		}
	}
	return tokens
}

func (s *state) use(token uint64) {
	s.used = slices.Clone(s.used)
	for i := range s.used {
		if s.used[i].token == token {
			s.used[i].n++
			return
		}
	}
	s.used = append(s.used, use{token, 1})
}

// spent says whether everything that needs a hold has taken place. Before that it cannot end: seen at once, it saves a
// search for what can never be.
func (m *model) spent(s *state, token uint64) bool {
	for _, u := range s.used {
		if u.token == token {
			return u.n == m.uses[token]
		}
	}
	return m.uses[token] == 0
}

// ends lets a hold end by then, if it may have.
func (m *model) ends(n *state, token uint64, by int64) bool {
	h := m.holds[token]
	if !m.spent(n, token) {
		return false
	}
	n.at = max(n.at, h.Ends)
	n.drop(token)
	return h.Ends <= by
}

// loses lets a hold be revoked or end, as the refusal says, if it may have. One that was revoked may still be in the way.
func (m *model) loses(n *state, op *call) bool {
	if !op.Revoked {
		return m.ends(n, op.Token, op.by)
	}
	h := m.holds[op.Token]
	n.at = max(n.at, h.RevokeFrom)
	n.revoked = append(slices.Clone(n.revoked), op.Token)
	return h.RevokeFrom <= op.by
}

// change carries out an append or a delete. One that was not answered does nothing where it cannot: it was refused then.
func (m *model) change(n *state, op *call) bool {
	if !n.current(op.Token) || m.holds[op.Token].Shared || m.holds[op.Token].Lock != op.Lock {
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

// sees: a read saw exactly these holders of a lock.
func (m *model) sees(n *state, op *call) bool {
	for _, token := range slices.Clone(n.holds) {
		if m.holds[token].Lock != op.Lock {
			continue
		}
		if !slices.ContainsFunc(op.Holders, func(h history.Holder) bool { return h.Token == token }) && !m.ends(n, token, op.by) {
			return false
		}
	}
	for _, h := range op.Holders {
		known := m.holds[h.Token]
		switch {
		case !slices.Contains(n.holds, h.Token), known.Session != h.Session, known.Shared != h.Shared, known.Lock != op.Lock:
			return false
		case h.Revoked && n.current(h.Token):
			n.at = max(n.at, known.RevokeFrom)
			n.revoked = append(slices.Clone(n.revoked), h.Token)
		case !h.Revoked && !n.current(h.Token):
			return false
		}
	}
	return true
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

func (s *state) equal(o *state) bool {
	return s.at == o.at && s.last == o.last && slices.Equal(s.holds, o.holds) && slices.Equal(s.revoked, o.revoked) &&
		slices.Equal(s.files, o.files)
}

func (s *state) hash() uint64 {
	h := uint64(14695981039346656037)
	mix := func(v uint64) { h = (h ^ v) * 1099511628211; h ^= h >> 29 }
	mix(uint64(s.at))
	mix(s.last)
	for _, t := range s.holds {
		mix(t)
	}
	for _, t := range s.revoked {
		mix(t ^ 1<<63)
	}
	for i := range s.files {
		mix(uint64(len(s.files[i].data))<<32 | uint64(s.files[i].sum))
	}
	return h
}
