package sim

import "time"

// When the server dies. server.crash says how.

// crashWhen lets the process die at once, or when it next comes to the fault's point.
func (s *server) crashWhen(f *Fault) {
	if f.Point == "" {
		s.crash(f)
		return
	}
	s.crashAt = f
}

// crashHere lets the process die if this is the point that a fault waits for.
func (s *server) crashHere(p CrashPoint) bool {
	f := s.crashAt
	if f == nil || f.Point != p {
		return false
	}
	s.crashAt = nil
	s.w.count("crash point " + string(p))
	s.crash(f)
	return true
}

// crashAgain keeps a crash loop going: the process that has just come up will not live long.
func (s *server) crashAgain() {
	if s.loop == 0 {
		return
	}
	s.loop--
	life := s.life
	s.w.sim.After(s.rng.Tail(0, 50*time.Millisecond), func() {
		if s.life == life && !s.w.healed {
			s.w.count("crash in a loop")
			s.crash(s.loopFault)
		}
	})
}
