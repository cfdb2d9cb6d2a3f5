package explain

import (
	"fmt"
	"strings"

	"dlm/sim"
)

// lastEvents are the last of a run's events that have to do with its failure, as lines of the readable trace.
func lastEvents(rec *sim.Recorder, most int) string {
	var b strings.Builder
	events := rec.LastThatMatter(most)
	fmt.Fprintf(&b, "the last %d events about it (of %d; the whole trace: -tracefile=FILE):\n", len(events), len(rec.Events()))
	_ = sim.WriteText(&b, events) // a Builder never fails
	return b.String()
}
