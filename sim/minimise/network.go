package minimise

import (
	"slices"

	"dlm/netsim"
	"dlm/sim"
)

// network replaces the network's rates, which hit a message here and there, by a list of the messages that they hit, and
// takes away those that do not matter.
func (m *minimiser) network() {
	hits := m.plan.Config.Net.Only
	if hits == nil {
		if noRates(m.plan.Config.Net) || m.left <= 0 {
			return
		}
		// Only what struck before the failure can matter: the run ends with it.
		hits = m.struck(clone(m.plan))
		m.left-- // that was a run
		m.runs++
		if !m.try(func(p *sim.Plan) { only(p, hits) }) {
			return
		}
	}
	hits = m.withoutGroups(hits)
	m.reduce(len(hits), func(p *sim.Plan, keep []int) { only(p, pick(hits, keep)) })
}

// withoutGroups takes all hits away that have something in common: a kind, a client, and both with a way.
func (m *minimiser) withoutGroups(hits []netsim.Hit) []netsim.Hit {
	type group struct {
		kind   netsim.HitKind
		client int
		way    netsim.Way
	}
	for _, of := range []func(netsim.Hit) group{
		func(h netsim.Hit) group { return group{kind: h.Kind} },
		func(h netsim.Hit) group { return group{client: h.Client} },
		func(h netsim.Hit) group { return group{h.Kind, h.Client, h.Way} },
	} {
		tried := map[group]bool{}
		for _, h := range slices.Clone(hits) {
			g := of(h)
			if tried[g] {
				continue
			}
			tried[g] = true
			rest := slices.DeleteFunc(slices.Clone(hits), func(o netsim.Hit) bool { return of(o) == g })
			if m.try(func(p *sim.Plan) { only(p, rest) }) {
				hits = rest
			}
		}
	}
	return hits
}

// only lets these hits strike and no others.
func only(p *sim.Plan, hits []netsim.Hit) {
	n := &p.Config.Net
	n.Only = hits
	if len(hits) == 0 {
		n.Only = nil
		quiet(n)
	}
}

// rates are the network's, one for each kind of hit.
func rates(n *netsim.Faults) []*int {
	return []*int{&n.DropPPM, &n.DupPPM, &n.LatePPM, &n.SlowPPM, &n.ResetPPM, &n.DialFailPPM}
}

// quiet sets all rates to zero.
func quiet(n *netsim.Faults) {
	for _, r := range rates(n) {
		*r = 0
	}
}

func noRates(n netsim.Faults) bool {
	return !slices.ContainsFunc(rates(&n), func(r *int) bool { return *r != 0 })
}
