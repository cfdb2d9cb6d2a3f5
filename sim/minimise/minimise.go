package minimise

import (
	"encoding/json"
	"errors"
	"slices"

	"dlm/netsim"
	"dlm/sim"
	"dlm/sim/run"
)

// DefaultRuns bounds the runs when Options.Runs is 0: half a minute or less, as small plans run fast. Most failures are as small
// as they get after some hundred; those in which many faults play a part take thousands.
const DefaultRuns = 5000

// Options of a minimisation.
type Options struct {
	// Runs is how many runs it may take. 0 = DefaultRuns.
	Runs int
	// Run runs a plan and says what broke, nil = nothing. Default: run.Run.
	Run func(sim.Plan) *sim.Failure
	// Struck runs a plan and lists what the network's faults hit. Default: run.Run.
	Struck func(sim.Plan) []netsim.Hit
}

// Outcome is a minimised plan.
type Outcome struct {
	Plan sim.Plan
	// Failure is what Plan brings about.
	Failure *sim.Failure
	// Runs is how many runs it took.
	Runs int
	// Finished: nothing more can be taken away; otherwise the runs were used up.
	Finished bool
	// Others are plans, met on the way, that broke something else: the first one for each number, and for an invariant.
	Others []Other
}

// Other is a plan that broke something else than the one that was to be minimised.
type Other struct {
	Plan    sim.Plan
	Failure *sim.Failure
}

// ErrPasses says that there is nothing to minimise.
var ErrPasses = errors.New("minimise: the plan breaks nothing")

// Minimise makes a plan smaller that still breaks what it breaks.
func Minimise(p sim.Plan, o Options) (Outcome, error) {
	m := &minimiser{left: o.Runs, run: o.Run, struck: o.Struck, met: map[string]*sim.Failure{}}
	if m.left == 0 {
		m.left = DefaultRuns
	}
	if m.run == nil {
		m.run = func(p sim.Plan) *sim.Failure { return run.Run(p, nil).Failure }
	}
	if m.struck == nil {
		m.struck = func(p sim.Plan) []netsim.Hit { return run.Run(p, nil).Struck }
	}
	m.plan = clone(p)
	m.failure = m.once(m.plan)
	if m.failure == nil {
		return Outcome{Plan: p, Runs: m.runs}, ErrPasses
	}
	finished := false
	for m.left > 0 && !finished {
		before := key(m.plan)
		m.round()
		if key(m.plan) == before {
			// Last, since messages have other numbers when anything else is taken away.
			m.network()
		}
		finished = m.left > 0 && key(m.plan) == before
	}
	return Outcome{Plan: m.plan, Failure: m.failure, Runs: m.runs, Finished: finished, Others: m.others}, nil
}

type minimiser struct {
	plan    sim.Plan // the smallest so far
	failure *sim.Failure
	run     func(sim.Plan) *sim.Failure
	struck  func(sim.Plan) []netsim.Hit
	runs    int
	left    int
	met     map[string]*sim.Failure // what was run before, by its key
	others  []Other
}

func (m *minimiser) round() {
	m.dropLate()
	m.kinds()
	m.lists()
	m.config()
	m.lists()
	m.fields()
}

// once runs a plan, unless it was run before.
func (m *minimiser) once(p sim.Plan) *sim.Failure {
	k := key(p)
	if f, ok := m.met[k]; ok {
		return f
	}
	m.runs++
	m.left--
	f := m.run(clone(p))
	m.met[k] = f
	return f
}

// try takes a changed plan over if it can be run and breaks the same promise.
func (m *minimiser) try(change func(p *sim.Plan)) bool {
	if m.left <= 0 {
		return false
	}
	p := clone(m.plan)
	change(&p)
	if p.Check() != nil {
		return false
	}
	f := m.once(p)
	if f == nil {
		return false
	}
	if !run.Same(f, m.failure) {
		m.other(p, f)
		return false
	}
	m.plan, m.failure = p, f
	return true
}

// other keeps what broke something else.
func (m *minimiser) other(p sim.Plan, f *sim.Failure) {
	known := func(o Other) bool { return run.Same(o.Failure, f) && o.Failure.Invariant == f.Invariant }
	if !slices.ContainsFunc(m.others, known) {
		m.others = append(m.others, Other{Plan: p, Failure: f})
	}
}

// dropLate takes away what comes after the failure.
func (m *minimiser) dropLate() {
	at := m.failure.At
	m.try(func(p *sim.Plan) {
		p.Faults = slices.DeleteFunc(p.Faults, func(f sim.Fault) bool { return f.At > at })
	})
	if at < m.plan.Config.Faulty {
		m.try(func(p *sim.Plan) { p.Config.Faulty = at + 1 })
	}
}

// kinds takes whole kinds of faults away, before lists are cut where they happen to have their middle.
func (m *minimiser) kinds() {
	if len(m.plan.Faults) > 0 {
		m.try(func(p *sim.Plan) { p.Faults = nil })
	}
	if !noRates(m.plan.Config.Net) {
		m.try(func(p *sim.Plan) { only(p, nil) })
	}
	tried := map[sim.FaultKind]bool{}
	for _, f := range slices.Clone(m.plan.Faults) {
		if !tried[f.Kind] {
			tried[f.Kind] = true
			m.try(func(p *sim.Plan) {
				p.Faults = slices.DeleteFunc(p.Faults, func(o sim.Fault) bool { return o.Kind == f.Kind })
			})
		}
	}
	for i := range rates(&m.plan.Config.Net) {
		if *rates(&m.plan.Config.Net)[i] > 0 {
			m.try(func(p *sim.Plan) { *rates(&p.Config.Net)[i] = 0 })
		}
	}
}

// opAt is one operation of one actor.
type opAt struct{ actor, op int }

func (m *minimiser) lists() {
	m.reduce(len(m.plan.Faults), func(p *sim.Plan, keep []int) { p.Faults = pick(p.Faults, keep) })
	m.reduce(len(m.plan.Actors), func(p *sim.Plan, keep []int) { p.Actors = pick(p.Actors, keep) })
	var ops []opAt
	for i, a := range m.plan.Actors {
		for j := range a.Ops {
			ops = append(ops, opAt{i, j})
		}
	}
	m.reduce(len(ops), func(p *sim.Plan, keep []int) {
		kept := make([][]sim.Op, len(p.Actors))
		for _, at := range pick(ops, keep) {
			kept[at.actor] = append(kept[at.actor], p.Actors[at.actor].Ops[at.op])
		}
		for i := range p.Actors {
			p.Actors[i].Ops = kept[i]
		}
	})
	m.reduce(len(m.plan.Actors), func(p *sim.Plan, keep []int) { p.Actors = pick(p.Actors, keep) })
	m.fewerClients()
}

// reduce is ddmin over a list of n elements: it takes away as many as it can, in chunks that get smaller. apply makes a
// plan from the whole list that keeps only the elements with these indexes.
func (m *minimiser) reduce(n int, apply func(p *sim.Plan, keep []int)) {
	whole := m.plan
	kept := make([]int, n)
	for i := range kept {
		kept[i] = i
	}
	for chunk := n; chunk >= 1 && m.left > 0; {
		removed := false
		for from := 0; from < len(kept); {
			rest := slices.Delete(slices.Clone(kept), from, min(from+chunk, len(kept)))
			if m.try(func(p *sim.Plan) { *p = clone(whole); apply(p, rest) }) {
				kept, removed = rest, true
				continue // what followed stands at from now
			}
			from += chunk
		}
		if !removed {
			chunk /= 2
		}
		chunk = min(chunk, len(kept))
	}
}

func pick[T any](list []T, keep []int) []T {
	var out []T
	for _, i := range keep {
		out = append(out, list[i])
	}
	return out
}

// fewerClients takes clients away that no actor and no fault speaks of, and numbers the others anew.
func (m *minimiser) fewerClients() {
	used := map[int]bool{}
	for _, a := range m.plan.Actors {
		used[a.Client] = true
	}
	for _, f := range m.plan.Faults {
		used[f.Client] = true
	}
	for _, h := range m.plan.Config.Net.Only {
		used[h.Client] = true
	}
	number := map[int]int{-1: -1}
	for old := range m.plan.Config.Clients {
		if used[old] {
			number[old] = len(number) - 1
		}
	}
	clients := max(len(number)-1, 1)
	if clients == m.plan.Config.Clients {
		return
	}
	m.try(func(p *sim.Plan) {
		p.Config.Clients = clients
		for i := range p.Actors {
			p.Actors[i].Client = number[p.Actors[i].Client]
		}
		for i := range p.Faults {
			p.Faults[i].Client = number[p.Faults[i].Client]
		}
		for i := range p.Config.Net.Only {
			p.Config.Net.Only[i].Client = number[p.Config.Net.Only[i].Client]
		}
	})
}

// clone copies a plan with its lists.
func clone(p sim.Plan) sim.Plan {
	p.Faults = slices.Clone(p.Faults)
	p.Config.Net.Only = slices.Clone(p.Config.Net.Only)
	p.Actors = slices.Clone(p.Actors)
	for i := range p.Actors {
		p.Actors[i].Ops = slices.Clone(p.Actors[i].Ops)
	}
	return p
}

// key is a plan as text: equal plans have equal keys.
func key(p sim.Plan) string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // a plan is numbers and text
	}
	return string(b)
}
