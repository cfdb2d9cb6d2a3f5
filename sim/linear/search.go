package linear

import (
	"cmp"
	"slices"

	"github.com/anishathalye/porcupine"

	"dlm/sim/history"
)

// search is the specification with what keeps the search for an order small. Every step that it takes is a step of the
// specification, and what it adds can only say no: so a history that it accepts is one that the specification accepts. That
// it refuses no other rests on this: from each state from which an order can be completed, it leaves a step after which
// one still can. The reasons stand beside the rules; TestRules compares them with what the specification can come to, and
// TestAgainstEveryOrder the whole with a judge that knows no rules.
//
//   - A state that cannot be completed is left at once (lives, outlook).
//   - Where an operation can go first without a loss, it does, and nothing else is tried (pick).
//   - A call without an answer takes place where something may come of it, else after everything that was answered (possible).
//   - States that nothing to come can tell apart are one (canonical).
type search struct {
	spec
	calls []*call // by the instant from which they can have taken place
	due   []int   // those that were answered, by the instant until which
	rank  []int   // of a grant: how many there are with a lower token
	uses  map[uint64]*uses
	files map[string][]int // what is done to a file, or seen of it
	twins [][]int          // of a call without an answer: those that could stand for it and come before it
	steps int
	most  int
	// deepest is the state after the longest order that fits, stuck what could not follow it. For the report.
	deepest *node
	stuck   []*call
}

// uses of a token.
type uses struct {
	there   []int // what was answered and needs the hold to be there
	current []int // of these, what needs it not to be revoked
	open    []int // what was not answered, and can change a file under it
}

// node is a state of the search: one of the specification, and which operations have taken place. It is immutable.
type node struct {
	*state
	done []uint64 // a bit for each call
	n    int
	// left is how many of those that were answered are not done, granted how many grants are.
	left, granted int
	// until is the first instant by which one of those that are left has taken place.
	until int64
	alive bool  // as far as one can see, an order can be completed from here
	first *call // the only one that is tried, nil: all are
	looks []look
	canon canon
}

func newSearch(s spec, calls []*call, most int) *search {
	m := &search{spec: s, calls: calls, most: most, uses: map[uint64]*uses{}, files: map[string][]int{}}
	slices.SortStableFunc(calls, func(a, b *call) int { return cmp.Compare(a.from, b.from) })
	m.rank, m.twins = make([]int, len(calls)), make([][]int, len(calls))
	for i, c := range calls {
		c.index = i
		if c.answered {
			m.due = append(m.due, i)
		}
		if c.File != "" {
			m.files[c.File] = append(m.files[c.File], i)
		}
		m.note(c)
		c.read = !c.answered && slices.ContainsFunc(calls, func(x *call) bool {
			if x.Kind != history.ReadFile || x.File != c.File {
				return false
			}
			_, visibly := contains(x.Op, c.Data)
			return visibly
		})
	}
	for i, c := range calls {
		for j, other := range calls {
			if c.Kind == history.Grant && other.Kind == history.Grant && (other.Token < c.Token || other.Token == c.Token && j < i) {
				m.rank[i]++ // of two grants of a token the second never fits
			}
			if j < i && twins(c, other) {
				m.twins[i] = append(m.twins[i], j)
			}
		}
	}
	slices.SortStableFunc(m.due, func(i, j int) int { return cmp.Compare(calls[i].by, calls[j].by) })
	return m
}

func (m *search) of(token uint64) *uses {
	if m.uses[token] == nil {
		m.uses[token] = &uses{}
	}
	return m.uses[token]
}

func (m *search) note(c *call) {
	if !c.answered {
		u := m.of(c.Token)
		u.open = append(u.open, c.index)
		return
	}
	for _, token := range needed(c.Op) {
		u := m.of(token)
		u.there = append(u.there, c.index)
		if !slices.ContainsFunc(c.Holders, func(h history.Holder) bool { return h.Token == token && h.Revoked }) {
			u.current = append(u.current, c.index)
		}
	}
}

func (m *search) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return m.begin() },
		Step: func(s, in, _ any) (bool, any) {
			if m.steps++; m.steps > m.most {
				return false, s // the search ends soon, and nobody takes its result for one
			}
			before, op := s.(*node), in.(*call)
			next, ok := m.try(before, op)
			if ok && (m.deepest == nil || next.n > m.deepest.n) {
				m.deepest, m.stuck = next, nil
			} else if !ok && before == m.deepest && op.answered {
				m.stuck = append(m.stuck, op)
			}
			return ok, next
		},
		Equal: func(a, b any) bool { return a.(*node).canon.equal(&b.(*node).canon) },
		Hash:  func(s any) uint64 { return s.(*node).canon.hash },
	}
}

// try lets an operation take place, if the rules leave that.
func (m *search) try(s *node, op *call) (*node, bool) {
	if s.first != nil && s.first != op || op.Kind == history.Grant && m.rank[op.index] != s.granted || !op.answered && !m.possible(s, op) {
		return s, false
	}
	n, ok := m.after(s, op)
	return n, ok && n.alive
}

func (m *search) begin() *node {
	n := &node{state: &state{}, done: make([]uint64, (len(m.calls)+63)/64), left: len(m.due), alive: true}
	n.until = m.deadline(n)
	n.first = m.pick(n)
	return n
}

// after is the state after an operation, if the specification has one.
func (m *search) after(s *node, op *call) (*node, bool) {
	next, ok := m.step(s.state, op)
	if !ok {
		return s, false
	}
	n := &node{state: next, done: slices.Clone(s.done), n: s.n + 1, left: s.left, granted: s.granted, looks: s.looks}
	n.done[op.index/64] |= 1 << (op.index % 64)
	if op.answered {
		n.left--
	}
	if op.Kind == history.Grant {
		n.granted++
	}
	n.until = m.deadline(n)
	n.alive = m.lives(s, n)
	if op.File != "" {
		o := m.outlook(n, op.File)
		n.alive = n.alive && o.alive
		n.looks = n.with(op.File, o.look)
	}
	if n.alive {
		n.canon = m.canonical(n)
		n.first = m.pick(n)
	}
	return n, true
}

// deadline is the first instant by which one of those that are left has taken place.
func (m *search) deadline(n *node) int64 {
	for _, i := range m.due {
		if !n.has(i) {
			return m.calls[i].by
		}
	}
	return history.Never
}

// lives says whether what is left can still take place after op, as far as one can see:
//
//   - none of it has to have taken place before the instant to which op has moved the state. So the instant itself tells
//     nothing in any state that is alive;
//   - no hold is gone that is still needed, and none is revoked that is needed as it was.
//
// What it takes of files is in outlook.
func (m *search) lives(before, n *node) bool {
	if n.at > n.until {
		return false
	}
	for _, token := range before.holds {
		u := m.uses[token]
		if u == nil {
			continue
		}
		if !slices.Contains(n.holds, token) && !n.hasAll(u.there) || !n.current(token) && !n.hasAll(u.current) {
			return false
		}
	}
	return true
}

// possible says whether a call without an answer is to be tried.
//
// When all that was answered has taken place it is, whatever becomes of it. Before that it is only where it does something
// (where it does not, it may as well come later, and in the end it may) and where something may come of that (worth).
// Of twins the first comes first: where the other takes place, it could have.
func (m *search) possible(s *node, op *call) bool {
	if s.left == 0 {
		return true
	}
	return m.writable(s.state, op) && s.hasAll(m.twins[op.index]) && m.worth(s, op)
}

// worth says whether anything can come of the effect of a call without an answer: an append is to be seen by an operation
// that is left, or it makes a file whose removal is left; a delete makes room for what is left. An effect of which nothing
// comes may as well not be: nothing that is left tells the difference.
func (m *search) worth(s *node, op *call) bool {
	f := s.file(op.File)
	after, _ := m.step(s.state, op)
	o := m.outlook(&node{state: after, done: s.done}, op.File)
	if op.Kind == history.Delete {
		return f != nil && o.seen
	}
	return o.seen || f == nil && o.removed
}

// pick finds an operation that can go first without a loss: it fits here, and whatever order completes this state, it can
// be moved to its front. No operation that is left has to come before it (s.until), and for those that it overtakes
// nothing changes: it changes nothing, or what it ends or revokes nobody needs any more.
func (m *search) pick(s *node) *call {
	for i, c := range m.calls {
		if c.from > s.until {
			break
		}
		if c.answered && !s.has(i) && m.idle(s, c) {
			return c
		}
	}
	return nil
}

// idle: see pick.
func (m *search) idle(s *node, c *call) bool {
	there := slices.Contains(s.holds, c.Token)
	switch c.Kind {
	case history.Refused:
		if c.Token > s.last {
			return false
		}
		if c.Revoked {
			return m.holds[c.Token].RevokeFrom <= s.until && (!s.current(c.Token) || m.mute(s, c.Token))
		}
		return !there || m.free(s, c.Token)
	case history.Release:
		return c.Token <= s.last && (!there || m.spent(s, c.Token))
	case history.Current:
		return s.current(c.Token)
	case history.View:
		return m.shows(s, c)
	case history.ReadFile, history.NoFile:
		_, ok := m.step(s.state, c)
		return ok
	}
	return false
}

// shows: the read fits, and what it ends or revokes nobody needs any more.
func (m *search) shows(s *node, c *call) bool {
	for _, token := range s.holds {
		if m.holds[token].Lock == c.Lock && !listed(c.Holders, token) && !m.free(s, token) {
			return false
		}
	}
	for _, h := range c.Holders {
		if h.Revoked && s.current(h.Token) && !(m.mute(s, h.Token) && m.holds[h.Token].RevokeFrom <= s.until) {
			return false
		}
	}
	_, ok := m.step(s.state, c)
	return ok
}

// spent: nothing is left that needs the hold to be there.
func (m *search) spent(s *node, token uint64) bool {
	u := m.uses[token]
	return u == nil || s.hasAll(u.there) && s.hasAll(u.open)
}

// free: nothing is left that needs the hold to be there, or that has to come before it may have ended. Whether it is there
// makes no difference any more.
func (m *search) free(s *node, token uint64) bool {
	return m.spent(s, token) && m.holds[token].Ends <= s.until
}

// mute: nothing is left that needs the hold not to be revoked.
func (m *search) mute(s *node, token uint64) bool {
	u := m.uses[token]
	return u == nil || s.hasAll(u.current) && s.hasAll(u.open)
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

func (n *node) has(i int) bool { return n.done[i/64]>>(i%64)&1 == 1 }

func (n *node) hasAll(calls []int) bool {
	for _, i := range calls {
		if !n.has(i) {
			return false
		}
	}
	return true
}
