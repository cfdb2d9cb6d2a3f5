package sim

// termChecker checks that no process leads in a term in which an earlier one led: it voted for itself in that term, and
// must not have forgotten it (G5).
type termChecker struct {
	w             watcher
	life, highest uint64
}

// leads notes that the process of that life leads.
func (t *termChecker) leads(life, term uint64) {
	if life == t.life {
		return
	}
	t.w.checked("G5 term")
	if term <= t.highest {
		t.w.fail("G5", "the server leads in term %d, and its former process led in term %d: a vote was forgotten", term, t.highest)
	}
	t.life, t.highest = life, term
}
