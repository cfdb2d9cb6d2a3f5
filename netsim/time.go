package netsim

import "time"

// Sim is virtual time: a heap of events keyed by (time, sequence).
type Sim struct {
	now    time.Duration
	seq    uint64
	events []event
	steps  uint64
	// Cause is the number of what makes things happen now, for whoever watches: what is in force when an event is
	// scheduled is in force again when it runs. 0 = nothing. It decides nothing here.
	Cause uint64
}

type event struct {
	at    time.Duration
	seq   uint64
	cause uint64
	run   func()
}

// NewSim begins at time 0.
func NewSim() *Sim { return &Sim{} }

// Now is the true time, which no process in the simulation can read.
func (s *Sim) Now() time.Duration { return s.now }

// Steps is how many events have run.
func (s *Sim) Steps() uint64 { return s.steps }

// At schedules run for time t; the past counts as now.
func (s *Sim) At(t time.Duration, run func()) {
	s.seq++
	s.events = append(s.events, event{at: max(t, s.now), seq: s.seq, cause: s.Cause, run: run})
	s.up(len(s.events) - 1)
}

// After schedules run d from now.
func (s *Sim) After(d time.Duration, run func()) { s.At(s.now+d, run) }

// Step runs the next event; false = there is none.
func (s *Sim) Step() bool {
	if len(s.events) == 0 {
		return false
	}
	e := s.events[0]
	last := len(s.events) - 1
	s.events[0] = s.events[last]
	s.events[last] = event{}
	s.events = s.events[:last]
	s.down(0)
	s.now = e.at
	s.steps++
	s.Cause = e.cause
	e.run()
	return true
}

// NextAt is the time of the next event.
func (s *Sim) NextAt() (time.Duration, bool) {
	if len(s.events) == 0 {
		return 0, false
	}
	return s.events[0].at, true
}

func (s *Sim) less(i, j int) bool {
	a, b := &s.events[i], &s.events[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (s *Sim) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !s.less(i, parent) {
			return
		}
		s.events[i], s.events[parent] = s.events[parent], s.events[i]
		i = parent
	}
}

func (s *Sim) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(s.events) {
			return
		}
		if child+1 < len(s.events) && s.less(child+1, child) {
			child++
		}
		if !s.less(child, i) {
			return
		}
		s.events[i], s.events[child] = s.events[child], s.events[i]
		i = child
	}
}
