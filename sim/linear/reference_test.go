package linear

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	. "dlm/sim/history"
)

// often checks thirty times as often as rapid does by itself (-rapid.checks): histories are small, and many are needed.
func often(t *testing.T, check func(t *rapid.T)) {
	for range 30 {
		rapid.Check(t, check)
	}
}

// TestAgainstEveryOrder compares Check with a judge that is too simple to be wrong, and shares nothing with it: it tries
// every order of the operations, with every hold ending and being revoked at every place in it.
func TestAgainstEveryOrder(t *testing.T) {
	right, wrong, open := 0, 0, 0
	often(t, func(t *rapid.T) {
		h := drawHistory(t)
		want := newJudge(h).any(world{})
		v := Check(h, 0)
		if (v.Wrong == "") != want {
			var ops string
			for _, op := range h.Ops {
				ops += "\n" + say(op)
			}
			t.Fatalf("every order tried: %v; Check: %q\nholds %+v%s", want, v.Wrong, h.Holds, ops)
		}
		if want {
			right++
		} else {
			wrong++
		}
		if slices.ContainsFunc(h.Ops, func(op Op) bool { return op.Return == Never }) {
			open++
		}
	})
	t.Logf("%d right ones, %d wrong ones; %d with unanswered calls", right, wrong, open)
	if all := right + wrong; !t.Failed() && (right < all/5 || wrong < all/5 || open < all/5) {
		t.Errorf("of %d histories %d are right, %d wrong, and %d have unanswered calls: a fifth of each is the least that tells", all, right, wrong, open)
	}
}

// TestRules compares each rule of the search with what it says of itself, in every state that the specification can come to:
// a state that it leaves is one that cannot be completed; where one can, it leaves a step after which one still can; and
// states that it takes for one can both be completed, or neither.
func TestRules(t *testing.T) {
	states, same, left, firsts := 0, 0, 0, 0
	often(t, func(t *rapid.T) {
		h := drawHistory(t)
		rules := newSpec(h.Holds)
		for _, part := range parts(h.Ops) {
			if rapid.Bool().Draw(t, "without the unseen") {
				part = rules.seen(part)
			}
			m, wrong := rules.prepare(part, Steps)
			if wrong != "" {
				continue
			}
			can := map[string]bool{}  // exact states -> whether one can be completed
			one := map[string]*node{} // what the search takes for one
			var visit func(n *node) bool
			visit = func(n *node) bool {
				key := fmt.Sprint(n.done, *n.state)
				if ok, seen := can[key]; seen {
					return ok
				}
				ok, some := n.left == 0, false
				for _, c := range m.calls {
					if n.has(c.index) || c.from > n.until {
						continue
					}
					next, fits := m.after(n, c)
					if !fits || !visit(next) {
						continue
					}
					ok = true
					_, tried := m.try(n, c)
					some = some || tried
				}
				can[key] = ok
				states++
				switch {
				case ok && !n.alive:
					t.Fatalf("it leaves a state that can be completed: %s", key)
				case ok && !some && n.left > 0:
					t.Fatalf("it leaves none of the steps that complete %s; first: %v", key, n.first)
				case !n.alive:
					left++
					return ok
				case n.first != nil:
					firsts++
				}
				kind := fmt.Sprint(n.done, n.canon.holds, n.canon.looks)
				if other := one[kind]; other == nil {
					one[kind] = n
				} else if same++; can[fmt.Sprint(other.done, *other.state)] != ok {
					t.Fatalf("it takes two states for one, of which only one can be completed: %v %+v, and %v %+v", n.done, *n.state, other.done, *other.state)
				}
				return ok
			}
			visit(m.begin())
		}
	})
	t.Logf("%d states: %d left, %d with one step only, %d taken for an earlier one", states, left, firsts, same)
	if !t.Failed() && min(left, firsts, same) < states/100 {
		t.Error("some rule is hardly ever used")
	}
}

func say(op Op) string {
	return fmt.Sprintf("%d to %d: %s data %q shared %v revoked %v", op.Call, op.Return, Say(op), op.Data, op.Shared, op.Revoked)
}

// judge tries all orders. Histories are small: it remembers which worlds cannot be completed.
type judge struct {
	h     History
	holds map[uint64]Hold
	dead  map[string]bool
}

// world is what is the case at an instant, and which operations have been.
type world struct {
	at      int64
	done    uint64
	last    [2]uint64 // of a lock's part
	held    uint64    // sets of tokens, which are small numbers here
	revoked uint64
	files   [2]string // "" is no file; a file starts with "=" here
}

func newJudge(h History) *judge {
	j := &judge{h: h, holds: map[uint64]Hold{}, dead: map[string]bool{}}
	for _, x := range h.Holds {
		j.holds[x.Token] = x
	}
	return j
}

// any says whether any order completes what has been.
func (j *judge) any(w world) bool {
	left := false
	for i, op := range j.h.Ops {
		left = left || w.done>>i&1 == 0 && !(op.Return == Never && (op.Kind == Append || op.Kind == Delete))
	}
	if !left {
		return true
	}
	key := fmt.Sprintf("%q", fmt.Sprint(w))
	if j.dead[key] {
		return false
	}
	for token, h := range j.holds {
		if w.held>>token&1 == 1 {
			gone := w
			gone.held &^= 1 << token
			gone.at = max(w.at, h.Ends)
			if j.any(gone) {
				return true
			}
		}
		if w.revoked>>token&1 == 0 && h.RevokeFrom != Never && token <= w.last[j.part(h.Lock)] {
			lost := w
			lost.revoked |= 1 << token
			lost.at = max(w.at, h.RevokeFrom)
			if j.any(lost) {
				return true
			}
		}
	}
	for i, op := range j.h.Ops {
		if w.done>>i&1 == 1 {
			continue
		}
		next := w
		next.done |= 1 << i
		next.at = max(w.at, op.Call)
		if next.at <= op.Return && j.fits(&next, op) && j.any(next) {
			return true
		}
	}
	j.dead[key] = true
	return false
}

func (j *judge) fits(w *world, op Op) bool {
	held, revoked := w.held>>op.Token&1 == 1, w.revoked>>op.Token&1 == 1
	var f *string
	if op.File != "" {
		f = &w.files[op.File[0]-'f']
	}
	switch op.Kind {
	case Grant:
		for token, h := range j.holds {
			if w.held>>token&1 == 1 && h.Lock == op.Lock && !(h.Shared && op.Shared) {
				return false
			}
		}
		w.held |= 1 << op.Token
		ok := op.Token > w.last[j.part(op.Lock)]
		w.last[j.part(op.Lock)] = op.Token
		return ok
	case Release:
		w.held &^= 1 << op.Token
		return op.Token <= w.last[j.part(op.Lock)]
	case Refused:
		return op.Token <= w.last[j.part(op.Lock)] && (op.Revoked && revoked || !op.Revoked && !held)
	case Current:
		return held && !revoked
	case Append, Delete:
		if !held || revoked || j.holds[op.Token].Shared || j.holds[op.Token].Lock != op.Lock {
			return false
		}
		if op.Kind == Delete {
			ok := *f != ""
			*f = ""
			return ok
		}
		if *f == "" {
			*f = "="
		}
		ok := op.Return == Never || uint64(len(*f)-1) == op.Offset
		*f += string(op.Data)
		return ok
	case View:
		for token, h := range j.holds {
			i := slices.IndexFunc(op.Holders, func(x Holder) bool { return x.Token == token })
			if h.Lock != op.Lock {
				continue
			}
			if (w.held>>token&1 == 1) != (i >= 0) {
				return false
			}
			if i >= 0 && (op.Holders[i] != Holder{Token: token, Session: h.Session, Shared: h.Shared, Revoked: w.revoked>>token&1 == 1}) {
				return false
			}
		}
		return !slices.ContainsFunc(op.Holders, func(x Holder) bool { return j.holds[x.Token].Lock != op.Lock })
	case ReadFile:
		return *f != "" && uint64(len(*f)-1) == op.Length && part((*f)[1:], op.Offset, len(op.Data)) == string(op.Data)
	case NoFile:
		return *f == ""
	}
	return false
}

// part: tokens are compared over the locks that files join, and no others.
func (j *judge) part(lock string) int {
	for _, x := range j.h.Ops {
		for _, y := range j.h.Ops {
			if x.File != "" && x.File == y.File && x.Lock == "a" && y.Lock == "b" {
				return 0
			}
		}
	}
	return int(lock[0] - 'a')
}

func part(s string, from uint64, n int) string {
	from = min(from, uint64(len(s)))
	return s[from:min(int(from)+n, len(s))]
}

// drawHistory lets things happen one after the other, has clients see them a while before and after, and then changes
// some of what they saw, mostly.
func drawHistory(t *rapid.T) History {
	d := drawer{T: t, holds: map[uint64]*Hold{}, now: 50}
	d.crowd = d.n("crowd", 2) == 2
	for range 4 + d.n("events", 6) {
		if d.now++; !d.crowd {
			d.now += 9
		}
		d.event()
	}
	var h History
	for _, token := range slices.Sorted(maps.Keys(d.holds)) {
		hold := *d.holds[token]
		if hold.Ends == Never {
			hold.Ends = d.now + 50
		}
		h.Holds = append(h.Holds, hold)
	}
	h.Ops = d.ops
	if d.n("disk", 2) > 0 {
		for i, name := range []string{"f", "g"} {
			if f := d.files[i]; f != "" {
				at := d.now + 100
				h.Ops = append(h.Ops, Op{Kind: ReadFile, Call: at, Return: at, File: name, Length: uint64(len(f) - 1), Data: []byte(f[1:])})
			}
		}
	}
	for range min(1, d.n("changed", 3)) * (1 + d.n("changes", 2)) {
		d.change(&h)
	}
	for _, op := range h.Ops {
		for i := range h.Holds {
			if op.Kind == Release && op.Token == h.Holds[i].Token { // who releases knows that the hold may be over
				h.Holds[i].Ends = min(h.Holds[i].Ends, op.Call)
			}
		}
	}
	return h
}

type drawer struct {
	*rapid.T
	now   int64
	last  uint64
	holds map[uint64]*Hold
	held  []uint64
	gone  uint64
	files [2]string
	ops   []Op
	crowd bool // all at the same time, of one lock and one file
}

// n draws from 0 to most, each as often: IntRange prefers what is small.
func (d *drawer) n(what string, most int) int {
	return rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}[:most+1]).Draw(d.T, what)
}

// seen adds an operation that takes place now.
func (d *drawer) seen(op Op) {
	op.Call, op.Return = d.now-int64(d.n("before", 4)*4), d.now+int64(d.n("after", 4)*4)
	d.ops = append(d.ops, op)
}

func (d *drawer) end(token uint64) {
	d.holds[token].Ends = d.now - int64(d.n("ended", 2)*8)
	d.held = slices.DeleteFunc(d.held, func(x uint64) bool { return x == token })
	d.gone = token
}

func (d *drawer) event() {
	lock, file := "a", 0
	if !d.crowd {
		lock, file = []string{"a", "b"}[d.n("lock", 4)/4], d.n("file", 3)/3
	}
	f := &d.files[file]
	var mine uint64
	for _, token := range d.held {
		if d.holds[token].Lock == lock {
			mine = token
		}
	}
	free := mine == 0
	switch what := d.n("event", 11); {
	case free && what < 10:
		d.last++
		h := &Hold{Token: d.last, Lock: lock, Shared: d.n("shared", 4) == 4, Ends: Never, RevokeFrom: Never}
		d.holds[d.last] = h
		d.held = append(d.held, d.last)
		d.seen(Op{Kind: Grant, Lock: lock, Token: d.last, Shared: h.Shared})
	case what == 0 && !free:
		d.end(mine)
		d.seen(Op{Kind: Release, Lock: lock, Token: mine})
	case what == 1 && !free:
		d.end(mine)
	case what == 2 && !free && d.holds[mine].RevokeFrom == Never:
		d.holds[mine].RevokeFrom = d.now - int64(d.n("revoked", 2)*8)
		d.seen(Op{Kind: Refused, Lock: lock, Token: mine, Revoked: true})
	case what <= 8 && !free:
		d.write(lock, mine, file)
	case what == 9 && d.gone != 0:
		d.seen(Op{Kind: Refused, Lock: d.holds[d.gone].Lock, Token: d.gone})
	case what == 10:
		op := Op{Kind: View, Lock: lock}
		if !free {
			h := d.holds[mine]
			op.Holders = []Holder{{Token: mine, Shared: h.Shared, Revoked: h.RevokeFrom != Never}}
		}
		d.seen(op)
	case *f == "":
		d.seen(Op{Kind: NoFile, File: string(rune('f' + file))})
	default:
		op := Op{Kind: ReadFile, File: string(rune('f' + file)), Length: uint64(len(*f) - 1)}
		op.Offset = uint64(d.n("offset", min(len(*f)-1, 11)))
		op.Data = []byte(part((*f)[1:], op.Offset, d.n("bytes", 3)))
		d.seen(op)
	}
}

// write appends or deletes, if the hold allows; every other call is not answered, and may not have arrived.
func (d *drawer) write(lock string, token uint64, file int) {
	f, h := &d.files[file], d.holds[token]
	op := Op{Kind: Append, Lock: lock, Token: token, File: string(rune('f' + file)), Data: []byte(rapid.SampledFrom([]string{"x", "y", "xy", "xx", ""}).Draw(d.T, "data"))}
	if d.n("delete", 4) == 0 {
		op.Kind, op.Data = Delete, nil
	}
	works := !h.Shared && h.RevokeFrom == Never && (op.Kind == Append || *f != "")
	answered := d.n("answered", 1) == 1 && works
	if works && (answered || d.n("arrived", 1) == 1) {
		if op.Kind == Delete {
			*f = ""
		} else {
			if *f == "" {
				*f = "="
			}
			op.Offset = uint64(len(*f) - 1)
			*f += string(op.Data)
		}
	}
	d.seen(op)
	if last := &d.ops[len(d.ops)-1]; !answered {
		last.Return, last.Offset = Never, 0
	}
}

// change makes something else of what a client saw.
func (d *drawer) change(h *History) {
	op := &h.Ops[d.n("op", min(len(h.Ops)-1, 11))]
	switch how := d.n("how", 6); {
	case how == 0 && len(h.Holds) > 0:
		h.Holds[d.n("hold", len(h.Holds)-1)].Ends += int64(10 + d.n("longer", 4)*8)
	case how <= 2 && op.Return != Never: // it was at another time
		by := int64(d.n("by", 11)-5) * 8
		op.Call, op.Return = max(op.Call+by, 0), max(op.Return+by, 0)
	case op.Kind == ReadFile && len(op.Data) > 0 && how <= 4:
		op.Data = slices.Clone(op.Data)
		op.Data[0] ^= 'x' ^ 'y'
	case op.Kind == ReadFile:
		op.Length += 1 + uint64(d.n("by", 1))
	case op.Kind == Append:
		op.Offset += 1 + uint64(d.n("by", 1))
	case op.Kind == View:
		op.Holders = nil
	case op.Kind == Refused:
		op.Revoked = !op.Revoked
	case op.Kind == Grant || op.Kind == Release:
		if h := d.holds[op.Token-1]; h != nil && h.Lock == op.Lock {
			op.Token--
		}
	case op.Kind == NoFile:
		op.Kind = ReadFile
	}
}
