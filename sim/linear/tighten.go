package linear

import (
	"cmp"
	"fmt"
	"slices"

	"dlm/sim/history"
)

// tighten narrows when each grant can have taken place, by what every order has to keep: tokens are granted in ascending
// order; a grant comes after everything that was done under the holds that were in its way, and before everything that
// was done under its own. It leaves out no order that explains the history, and most of those that do not. It says what is
// wrong if nothing is left.
func (m spec) tighten(calls []*call) (wrong string) {
	var grants []*call
	for _, c := range calls {
		if c.Kind == history.Grant {
			grants = append(grants, c)
		}
	}
	slices.SortFunc(grants, func(a, b *call) int { return cmp.Compare(a.Token, b.Token) })
	uses := usedWithin(calls)
	from := int64(0)
	for i, g := range grants {
		for _, before := range grants[:i] {
			if before.Lock == g.Lock && !(before.Shared && g.Shared) {
				g.from = max(g.from, m.holds[before.Token].Ends, uses[before.Token].last)
			}
		}
		g.from = max(g.from, from)
		from = g.from
	}
	by := int64(history.Never)
	for _, g := range slices.Backward(grants) {
		if n, ok := uses[g.Token]; ok {
			g.by = min(g.by, n.first)
		}
		g.by = min(g.by, by)
		by = g.by
		if g.from > g.by {
			return fmt.Sprintf("token %d of %q was granted after %.6f by what came before it, and before %.6f by what came after it",
				g.Token, g.Lock, float64(g.from)/1e9, float64(g.by)/1e9)
		}
	}
	return ""
}

// needs bounds when a hold was needed: it had begun by first, and had not ended at last.
type needs struct{ first, last int64 }

// usedWithin looks at every operation that needs a hold to be there.
func usedWithin(calls []*call) map[uint64]needs {
	all := map[uint64]needs{}
	for _, c := range calls {
		for _, token := range needed(c.Op) {
			n, ok := all[token]
			if !ok {
				n.first = history.Never
			}
			all[token] = needs{min(n.first, c.by), max(n.last, c.from)}
		}
	}
	return all
}
