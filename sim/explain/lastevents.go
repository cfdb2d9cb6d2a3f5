package explain

import (
	"fmt"
	"strings"

	"dlm/sim"
)

// lastEvents runs a plan again and returns, as lines of the readable trace, the last of its events that have to do with its
// failure.
func lastEvents(p sim.Plan, o Options) string {
	rec := sim.NewRecorder()
	o.Run(p, rec)
	var b strings.Builder
	events := rec.LastThatMatter(o.Events)
	fmt.Fprintf(&b, "the last %d events about it (of %d; the whole trace: -tracefile=FILE):\n", len(events), len(rec.Events()))
	_ = sim.WriteText(&b, events) // a Builder never fails
	return b.String()
}
