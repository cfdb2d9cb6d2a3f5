package netsim

import "sort"

// sortedConns is the one place that ranges over a map.
func sortedConns(m map[clientConn]*conn) []*conn {
	all := make([]*conn, 0, len(m))
	for _, c := range m {
		all = append(all, c)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	return all
}
