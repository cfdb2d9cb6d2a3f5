// Package linear checks recorded histories of locks and files for linearizability (G6), with porcupine.
//
// What the model covers
//
//   - Holds: a grant needs every incompatible holder to be gone; tokens are granted in ascending order; what is done under
//     a token needs it to be current and exclusive; reads see exactly the holders that there are.
//   - Files: an append goes to the end of its file, a read sees the bytes that were appended, a deleted file is gone.
//   - Refusals: the token is not current any more; one that says "revoked" comes after somebody asked for a revoke.
//   - Calls without an answer: they may have taken place at any instant since their call, or never.
//   - Time: a hold may end by itself, but not before the clients' own knowledge allows it (history.Hold), and each operation
//     takes place within its call: the model carries the earliest instant that it may have come to.
//
// What it does not cover: the order of queues, tries that fail and waits that time out, and lock-delays. An acquire that
// waits says nothing of the lock by not being answered; the simulator's log checker holds them against the log (G7, L3,
// G8, G6).
//
// Locks and files that no operation joins are checked apart. Each part may take Steps steps of the model, which depends on
// the history alone and not on the machine; a part that needs more is undecided, and that is a failure. What keeps the
// search far from there stands in search.go, outlook.go and unseen.go, each rule with the reason why it loses nothing:
//
//	spec      what may follow what
//	seen      leaves out the unanswered calls of which nobody can tell that they took place
//	tighten   narrows when grants took place
//	search    spec, with rules that only say no: no step after which no order can be completed, none that another spares,
//	          and no state twice that is the same for all that is still to come
//	porcupine tries the orders
package linear

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"dlm/sim/history"
)

// Steps bounds how often the model is asked for one part of a history.
const Steps = 2_000_000

// Verdict is what a check came to.
type Verdict struct {
	// Ops is how many operations were checked, Steps how many steps of the model that took, Hardest how many of them for one
	// part.
	Ops, Steps, Hardest int
	// Wrong says what does not fit; empty: the history is linearizable.
	Wrong string
}

// Check checks a whole history. steps is the bound for each part, 0 = Steps.
func Check(h history.History, steps int) Verdict {
	if steps == 0 {
		steps = Steps
	}
	var v Verdict
	rules := newSpec(h.Holds)
	for _, part := range parts(h.Ops) {
		m, wrong := rules.prepare(rules.seen(part), steps)
		if v.Wrong = wrong; wrong != "" {
			v.Wrong += ": " + describe(part)
			return v
		}
		var ops []porcupine.Operation
		for _, c := range m.calls {
			ops = append(ops, porcupine.Operation{ClientId: c.Client, Input: c, Call: c.from, Return: c.by})
		}
		ok := porcupine.CheckOperations(m.porcupine(), ops)
		v.Ops += len(ops)
		v.Steps += m.steps
		v.Hardest = max(v.Hardest, m.steps)
		switch {
		case m.steps > steps:
			v.Wrong = fmt.Sprintf("undecided after %d steps: %s", steps, m.report(part))
		case !ok:
			v.Wrong = "no order of these operations explains what their clients saw: " + m.report(part)
		}
		if v.Wrong != "" {
			return v
		}
	}
	return v
}

// prepare makes a search of the operations of a part, or says what is wrong if that can be seen before.
func (m spec) prepare(ops []history.Op, most int) (*search, string) {
	var calls []*call
	for _, op := range ops {
		calls = append(calls, &call{Op: &op, answered: !open(&op), from: op.Call, by: op.Return})
	}
	wrong := m.tighten(calls)
	return newSearch(m, calls, most), wrong
}

// parts are the operations in groups that share neither a lock nor a file.
func parts(ops []history.Op) [][]history.Op {
	root := map[string]string{}
	var find func(string) string
	find = func(x string) string {
		if r, ok := root[x]; ok && r != x {
			r = find(r)
			root[x] = r
			return r
		}
		return x
	}
	names := func(op history.Op) (names []string) {
		if op.Lock != "" {
			names = append(names, "lock "+op.Lock)
		}
		if op.File != "" {
			names = append(names, "file "+op.File)
		}
		return names
	}
	for _, op := range ops {
		if n := names(op); len(n) == 2 {
			root[find(n[0])] = find(n[1])
		}
	}
	var order []string
	groups := map[string][]history.Op{}
	for _, op := range ops {
		r := find(names(op)[0])
		if groups[r] == nil {
			order = append(order, r)
		}
		groups[r] = append(groups[r], op)
	}
	var all [][]history.Op
	for _, r := range order {
		all = append(all, groups[r])
	}
	return all
}

// report says where the longest order that fits ends, and lists the operations.
func (m *search) report(part []history.Op) string {
	var b strings.Builder
	if m.deepest != nil {
		fmt.Fprintf(&b, "the longest order that fits has %d of %d operations and holds %v (revoked %v) at %.6f; after it none of these fits: ",
			m.deepest.n, len(part), m.deepest.holds, m.deepest.revoked, float64(m.deepest.at)/1e9)
		for _, c := range m.stuck {
			fmt.Fprintf(&b, "%s (between %.6f and %.6f); ", Say(*c.Op), float64(c.from)/1e9, float64(c.by)/1e9)
		}
	}
	return b.String() + "all: " + describe(part)
}

// describe lists the operations, the last of them in full.
func describe(ops []history.Op) string {
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b history.Op) int { return int(min(max(a.Call-b.Call, -1), 1)) })
	const most = 60
	var b strings.Builder
	if len(ops) > most {
		fmt.Fprintf(&b, "%d earlier ones; ", len(ops)-most)
		ops = ops[len(ops)-most:]
	}
	for i, op := range ops {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(Say(op))
	}
	return b.String()
}

// Say describes an operation in a line.
func Say(op history.Op) string {
	until := "never"
	if op.Return != history.Never {
		until = fmt.Sprintf("%.6f", float64(op.Return)/1e9)
	}
	s := fmt.Sprintf("[%.6f .. %s] client %d: %s %q", float64(op.Call)/1e9, until, op.Client, op.Kind, op.Lock)
	if op.Token != 0 {
		s += fmt.Sprintf(" token %d", op.Token)
	}
	if op.File != "" {
		s += fmt.Sprintf(" %q at %d, %d bytes, length %d", op.File, op.Offset, len(op.Data), op.Length)
	}
	if op.Kind == history.View {
		s += fmt.Sprintf(" holders %v", op.Holders)
	}
	return s
}
