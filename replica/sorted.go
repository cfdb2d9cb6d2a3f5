package replica

import (
	"cmp"
	"slices"
)

// These are the only places where this package visits a map: in order, so that nothing depends on map order.

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

func sortedPlaces(m map[place]uint64) []place {
	places := make([]place, 0, len(m))
	for at := range m {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.session, b.session), cmp.Compare(a.sequence, b.sequence))
	})
	return places
}
