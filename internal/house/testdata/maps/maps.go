package snippet

import (
	"maps"
	"slices"
)

type table map[string]int

func visits[M ~map[string]int](t table, generic M) (sum int) {
	for _, v := range t { // want "range over a map"
		sum += v
	}
	for range generic { // want "range over a map"
		sum++
	}
	for k := range maps.Keys(t) { // want "maps.Keys"
		sum += len(k)
	}
	for _, k := range slices.Sorted(maps.Keys(t)) { // want "sorted helper"
		sum += t[k]
	}
	for _, k := range sortedKeys(t) {
		sum += t[k]
	}
	return sum + len(maps.Clone(t))
}
