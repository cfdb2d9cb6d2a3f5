package minimise

import (
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
	m.reduce(len(hits), func(p *sim.Plan, keep []int) { only(p, pick(hits, keep)) })
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

// quiet sets all rates to zero.
func quiet(n *netsim.Faults) {
	n.DropPPM, n.DupPPM, n.LatePPM, n.SlowPPM, n.ResetPPM, n.DialFailPPM = 0, 0, 0, 0, 0, 0
}

func noRates(n netsim.Faults) bool {
	return n.DropPPM+n.DupPPM+n.LatePPM+n.SlowPPM+n.ResetPPM+n.DialFailPPM == 0
}
