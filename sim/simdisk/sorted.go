package simdisk

import (
	"cmp"
	"slices"
)

// sortedKeys is the only way to walk a map here: the order of what happens
// must be the same in every run.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
