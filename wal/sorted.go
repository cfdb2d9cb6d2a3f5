package wal

import (
	"cmp"
	"slices"
)

// sortedKeys is the only way to walk a map here: the simulated disk must see
// the same operations in the same order in every run.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
