package side

import (
	"fmt"
	"strings"
)

// machine is what it was measured on, and with what.
func (r *Results) machine() string {
	var b strings.Builder
	m, s := r.Machine, r.Settings
	fmt.Fprintf(&b, "Measured on %s in %s: %d rounds, %s seconds a cell after %s of warm-up.\n\n", r.Began.Format("2 January 2006"), r.Took,
		s.Rounds, trim(s.Seconds), trim(s.Warmup))
	if noisy := r.Noisy(); noisy != "" {
		fmt.Fprintf(&b, "**%s**\n\n", noisy)
	}
	fmt.Fprintf(&b, "| | |\n|---|---|\n| machine | %s, %d cores (all of them shared by client and server), %d GB |\n", m.CPU, m.Cores, m.MemoryGB)
	fmt.Fprintf(&b, "| system | %s, data on %s, %s |\n", m.Kernel, m.FileSystem, m.Go)
	var syncs []string
	for _, x := range r.Syncs {
		syncs = append(syncs, number(x))
	}
	fmt.Fprintf(&b, "| writing and syncing 4 KiB in place, before each round | %s µs |\n", strings.Join(syncs, ", "))
	others := r.Others()
	fmt.Fprintf(&b, "| cores that others used meanwhile | %.2f (median of the cells; %.2f to %.2f) |\n", others.Median, others.Least, others.Most)
	b.WriteString("\n| server | settings |\n|---|---|\n")
	for _, x := range r.Services {
		fmt.Fprintf(&b, "| %s | %s |\n", x.Version, x.How)
	}
	b.WriteString("\n| | used through |\n|---|---|\n")
	for _, x := range r.Peers {
		fmt.Fprintf(&b, "| %s | %s |\n", x.Title, x.How)
	}
	for _, x := range r.Skipped {
		fmt.Fprintf(&b, "\n**Not measured: %s** (%s)\n", x.Peer, x.Why)
	}
	return b.String()
}

func trim(x float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") }

// Targets is the table of what we set out to reach, and what was.
func (r *Results) Targets() string {
	var b strings.Builder
	b.WriteString("| workload | against | at least | stretch | measured: median (least to most) | |\n|---|---|---|---|---|---|\n")
	for _, o := range r.outcomes() {
		say := ratio
		if o.fewer && o.theirs != "" {
			say = fraction
		}
		got := "-"
		if o.measured {
			got = fmt.Sprintf("**%s** (%s to %s)", say(o.got.Median), say(o.got.Least), say(o.got.Most))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", o.row, o.against, o.targetIs, o.unless, got, o.reached())
	}
	return b.String()
}

// tables has a table for each workload.
func (r *Results) tables() string {
	var b strings.Builder
	for i, w := range r.Rows {
		if i > 0 {
			b.WriteString("\n")
		}
		what, of := "pairs/s", metric(rate)
		switch w.Name {
		case "handoff-8":
			what, of = "owner changes/s", changes
		case "held":
			what = "locks/s"
		}
		fmt.Fprintf(&b, "**%s**\n\n| | %s | least to most | dlm is | p50 µs | p99 µs | server CPU µs | client CPU µs | failed |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n", w.What, what)
		for _, p := range r.Peers {
			b.WriteString(r.line(w.Name, p, of))
		}
	}
	b.WriteString("\nLatencies and CPU time are those of an operation: a pair of lock and unlock, or one acquire where locks are kept. Under the hand-off\n" +
		"they are of acquisitions, not of owner changes. \"dlm is\" divides by that row's figure, round by round.\n")
	return b.String()
}

// line is a peer's row; empty if it takes no part.
func (r *Results) line(workload string, p About, of metric) string {
	failed, why := r.failures(workload, p.Name)
	got, ok := r.Of(workload, p.Name, of)
	if !ok {
		if failed == 0 {
			return ""
		}
		return fmt.Sprintf("| %s | - | | | | | | | %d: %s |\n", p.Title, failed, why)
	}
	times := ""
	if x, ok := r.Ratio(workload, "dlm", p.Name, of); ok && p.Name != "dlm" {
		times = ratio(x.Median)
	}
	title := p.Title
	if p.Name == "dlm" {
		title = "**dlm**"
	}
	cells := []string{title, number(got.Median), number(got.Least) + " to " + number(got.Most), times}
	for _, m := range []metric{p50, p99, serverCPU, clientCPU} {
		x, _ := r.Of(workload, p.Name, m)
		cells = append(cells, number(x.Median))
	}
	say := "0"
	if failed > 0 {
		say = fmt.Sprintf("%d: %s", failed, why)
	}
	return "| " + strings.Join(append(cells, say), " | ") + " |\n"
}
