package sim_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"testing"

	"dlm/sim"
	"dlm/sim/explain"
	"dlm/sim/minimise"
	"dlm/sim/run"
)

// TestOne runs the one plan of -seed or -plan; with both, the plan of the file with another seed for what it draws.
func TestOne(t *testing.T) {
	if *flagSeed == 0 && *flagPlan == "" {
		t.Skip("runs the plan of -seed=N or -plan=FILE")
	}
	p, line, small := sim.Expand(*flagSeed), explain.SeedLine(*flagSeed), minimise.DefaultRuns
	if *flagPlan != "" {
		f, err := run.LoadPlan(*flagPlan)
		if err != nil {
			t.Fatal(err)
		}
		p, line, small = chosen(f), explain.PlanLine(*flagPlan), 0
		if p.Seed != f.Plan.Seed {
			line += fmt.Sprintf(" -seed=%d", p.Seed)
		}
	}
	if *flagSave != "" {
		if err := run.SavePlan(*flagSave, p, ""); err != nil {
			t.Fatal(err)
		}
		t.Logf("the plan is in %s", *flagSave)
	}
	r, err := traced(p, line)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failure != nil {
		fail(t, line, p, r.Failure, small)
	}
	var total run.Totals
	total.Add(r)
	t.Logf("%v simulated, %d events\n%s", r.Virtual, r.Steps, total.Tables())
	fmt.Printf("seed %d trace %016x\n", p.Seed, r.Hash)
}

// chosen is the plan of a file, with the seed of -seed if there is one; otherwise with the first seed that fails, of those
// that the file asks for (or with the last one).
func chosen(f run.PlanFile) sim.Plan {
	if *flagSeed != 0 {
		f.Plan.Seed = *flagSeed
		return f.Plan
	}
	runs := f.Runs()
	for _, p := range runs[:len(runs)-1] {
		if run.Run(p, nil).Failure != nil {
			return p
		}
	}
	return runs[len(runs)-1]
}

// traced runs a plan and writes its trace and its picture, if files are named.
func traced(p sim.Plan, line string) (run.Result, error) {
	if *flagTrace == "" && *flagHTML == "" {
		return run.Run(p, nil), nil
	}
	rec := sim.NewRecorder()
	r := run.Run(p, rec)
	if *flagHTML != "" {
		if err := explain.Picture(*flagHTML, line, r, rec); err != nil {
			return r, err
		}
		fmt.Printf("the picture is in %s\n", *flagHTML)
	}
	if *flagTrace == "" {
		return r, nil
	}
	f, err := os.Create(*flagTrace)
	if err != nil {
		return r, err
	}
	b := bufio.NewWriterSize(f, 1<<20)
	err = sim.WriteText(b, rec.Events())
	return r, errors.Join(err, b.Flush(), f.Close())
}

// fail reports a failure of a plan: the line that repeats it comes first. runs is what may be spent on making it small,
// unless -minimise says otherwise.
func fail(t *testing.T, line string, p sim.Plan, f *sim.Failure, runs int) {
	t.Helper()
	t.Fail()
	if *flagMinimise >= 0 {
		runs = *flagMinimise
	}
	explain.Report(t.Output(), p, f, explain.Options{Line: line, Minimise: runs})
}
