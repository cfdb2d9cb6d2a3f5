package explain

import (
	"fmt"
	"io"
	"strings"

	"dlm/netsim"
	"dlm/sim"
	"dlm/sim/minimise"
	"dlm/sim/run"
)

// SeedLine is the command that repeats a seed.
func SeedLine(seed uint64) string { return fmt.Sprintf("go test ./sim -v -seed=%d", seed) }

// PlanLine is the command that repeats a plan file.
func PlanLine(file string) string { return fmt.Sprintf("go test ./sim -v -plan=%s", file) }

// Options of a report.
type Options struct {
	// Line is the command that repeats the failure.
	Line string
	// Minimise is how many runs may be spent on making the plan small. 0 = none: the plan is shown as it is.
	Minimise int
	// Events is how many of the last events are shown. 0 = 40.
	Events int
	// Run runs a plan; nil = run.Run. Tests break it on purpose.
	Run func(p sim.Plan, rec *sim.Recorder) run.Result
}

// Report writes what a person needs to know of a failure: first the one line that repeats it, then the broken promise in
// words and what happened, then the smallest plan that breaks the same promise, the line that repeats that one, the last
// events that have to do with it, and the file with its picture.
func Report(w io.Writer, p sim.Plan, f *sim.Failure, o Options) {
	if o.Run == nil {
		o.Run = run.Run
	}
	if o.Events == 0 {
		o.Events = 40
	}
	fmt.Fprintf(w, "%s\n%s is broken: %s.\nAt %.6f s: %s\n", o.Line, f.Number, Promise(f.Number), f.At.Seconds(), f.Text)
	if f.Number == run.Died {
		return // what ends its process would end this one too
	}
	kept := ""
	if o.Minimise > 0 {
		p, kept = smaller(w, p, f, o)
	}
	rec := sim.NewRecorder()
	r := o.Run(p, rec)
	fmt.Fprint(w, lastEvents(rec, o.Events))
	if kept != "" && r.Failure != nil {
		picture := strings.TrimSuffix(kept, ".json") + ".html"
		if err := Picture(picture, PlanLine(kept), r, rec); err != nil {
			fmt.Fprintf(w, "no picture of it: %v\n", err)
		} else {
			fmt.Fprintf(w, "a picture of it: %s\n", picture)
		}
	}
}

// smaller minimises a plan, keeps it in a file and says so. It returns what it could do: the plan, and the file if it is new.
func smaller(w io.Writer, p sim.Plan, f *sim.Failure, o Options) (small sim.Plan, kept string) {
	out, err := minimise.Minimise(p, minimise.Options{
		Runs:   o.Minimise,
		Run:    func(p sim.Plan) *sim.Failure { return o.Run(p, nil).Failure },
		Struck: func(p sim.Plan) []netsim.Hit { return o.Run(p, nil).Struck },
	})
	switch {
	case err != nil:
		fmt.Fprintf(w, "it does not repeat in this process: %v\n", err)
		return p, ""
	case !run.Same(out.Failure, f):
		fmt.Fprintf(w, "in this process the same plan breaks something else: %v\n", out.Failure)
		return p, ""
	}
	rest := nearer(w, out.Others)
	why := "nothing more can be left out"
	if !out.Finished {
		why = "more might be left out: the runs were used up"
	}
	fmt.Fprintf(w, "\nMade smaller in %d runs: %s, of %s (%s).\n", out.Runs, run.Size(out.Plan), run.Size(p), why)
	name, err := run.KeepFailure(out.Plan, out.Failure.Number, "")
	if err != nil {
		fmt.Fprintf(w, "it could not be saved: %v\n", err)
		name = ""
	} else {
		fmt.Fprintln(w, PlanLine(name))
	}
	fmt.Fprintf(w, "At %.6f s: %s\n%s", out.Failure.At.Seconds(), out.Failure.Text, run.Describe(out.Plan))
	for _, other := range rest {
		fmt.Fprintf(w, "On the way another plan broke something else: %v (%s)\n", other.Failure, run.Size(other.Plan))
	}
	fmt.Fprintln(w)
	return out.Plan, name
}

// nearer says first what is nearest to the cause: that on the way a plan broke an invariant of the lock table, which finds it
// before anybody suffers from it. It returns the other findings.
func nearer(w io.Writer, others []minimise.Other) (rest []minimise.Other) {
	for _, o := range others {
		if !o.Failure.Invariant {
			rest = append(rest, o)
			continue
		}
		fmt.Fprintf(w, "\nOn the way a plan broke an invariant, which is nearer to the cause: %v (%s)\n", o.Failure, run.Size(o.Plan))
		if name, err := run.KeepFailure(o.Plan, o.Failure.Number, "-invariant"); err == nil {
			fmt.Fprintln(w, PlanLine(name))
		}
	}
	return rest
}
