package replica

import (
	"cmp"
	"slices"
)

// sortedIdentities is the one place where this package visits a map: in order, so that nothing depends on map order.
func sortedIdentities(m map[identity]*pending) []identity {
	ids := make([]identity, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b identity) int {
		return cmp.Or(cmp.Compare(a.session, b.session), cmp.Compare(a.sequence, b.sequence), cmp.Compare(a.key, b.key))
	})
	return ids
}
