package engine

import (
	"cmp"
	"slices"
)

// sortedKeys is the only place of the package that ranges over maps: nothing may act on map order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
