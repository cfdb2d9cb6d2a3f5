package sim

// distinctBytes: shorter appends may be equal by chance.
const distinctBytes = 12

// once checks that no bytes are appended twice. Each call of the workload appends bytes of its own, so equal ones are one
// call that took effect under two sequences: to the log these are two requests, and only the bytes show it (G4).
func (l *logChecker) once(data []byte) {
	if len(data) < distinctBytes {
		return
	}
	if l.written == nil {
		l.written = map[string]uint64{}
	}
	l.w.checked("G4 once")
	key := string(data[:min(len(data), 4*distinctBytes)])
	if at, twice := l.written[key]; twice {
		l.w.fail("G4", "position %d: bytes are appended that were appended at position %d: one call took effect under two sequences", l.index, at)
	}
	l.written[key] = l.index
}
