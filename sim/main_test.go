package sim_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"dlm/sim/run"
)

// The go command takes -trace (an execution trace of the runtime) for itself, so ours is -tracefile.
var (
	flagSeed     = flag.Uint64("seed", 0, "run this one seed; with -plan: run the plan with this seed for what it draws")
	flagPlan     = flag.String("plan", "", "run the plan in this JSON file (from here or from the module's root)")
	flagSeeds    = flag.String("seeds", "1-2000", "run the batch of seeds A-B (N = 1-N)")
	flagTrace    = flag.String("tracefile", "", "with -seed or -plan: write the readable trace to this file")
	flagHTML     = flag.String("html", "", "with -seed or -plan: draw the run as a timeline in this HTML file (from the module's root)")
	flagSave     = flag.String("save", "", "with -seed or -plan: save the plan to this JSON file")
	flagMinimise = flag.Int("minimise", -1, "spend so many runs on making a failing plan small, 0 = none (default: thousands for seeds, 0 for -plan)")
	flagFailures = flag.Int("failures", 5, "stop the batch after so many failures")
)

// given are the flags of the command line.
var given = map[string]bool{}

// TestMain runs nothing but the plan when one is asked for, so that its trace hash is the last thing said.
func TestMain(m *testing.M) {
	run.ServeIfAsked()
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch one := *flagSeed != 0 || *flagPlan != ""; {
	case one:
		if err := flag.Set("test.run", "^TestOne$"); err != nil {
			panic(err)
		}
	case *flagTrace != "" || *flagSave != "" || *flagHTML != "":
		fmt.Fprintln(os.Stderr, "-tracefile, -html and -save are about one run: give -seed=N or -plan=FILE too")
		os.Exit(2)
	}
	os.Exit(m.Run())
}
