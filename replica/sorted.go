package replica

import (
	"cmp"
	"slices"
)

// These are the only places where this package visits a map: in order, so that nothing depends on map order.

// sorted is all requests in order of identity.
func (t *requestTable) sorted() []*pending {
	all := make([]*pending, 0, len(t.open)+len(t.keyed))
	for _, p := range t.open {
		all = append(all, p)
	}
	for _, p := range t.keyed {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pending) int {
		return cmp.Or(cmp.Compare(a.id.session, b.id.session), cmp.Compare(a.id.sequence, b.id.sequence), cmp.Compare(a.id.key, b.id.key))
	})
	return all
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
