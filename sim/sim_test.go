package sim

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	flagSeed  = flag.Uint64("seed", 0, "run this one seed")
	flagSeeds = flag.String("seeds", "1-500", "run the seeds A-B")
	flagTrace = flag.String("trace", "", "write the readable trace of -seed or -plan to this file")
	flagPlan  = flag.String("plan", "", "run the plan in this JSON file")
	flagStop  = flag.Int("failures", 5, "stop the batch after so many failures")
)

// runPlan runs a plan; raft draws from the world's entropy meanwhile.
func runPlan(p Plan, trace io.Writer) (*World, error) {
	w := New(p, trace)
	before := rand.Reader
	rand.Reader = w.Entropy()
	defer func() { rand.Reader = before }()
	return w, run(w)
}

// run turns a panic into a failure of the run, with its seed.
func run(w *World) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Failure{Number: "panic", Text: fmt.Sprint(r, "\n", stack()), At: w.Now()}
		}
	}()
	return w.Run()
}

func reproduce(seed uint64) string { return fmt.Sprintf("go test ./sim -v -seed=%d", seed) }

// TestSeeds runs a batch, or the one of -seed.
func TestSeeds(t *testing.T) {
	if oneRun() {
		runOne(t)
		return
	}
	var from, to uint64
	if _, err := fmt.Sscanf(*flagSeeds, "%d-%d", &from, &to); err != nil || from > to {
		t.Fatalf("-seeds=%q: want A-B", *flagSeeds)
	}
	began := time.Now()
	counts, checks := map[string]int{}, map[string]int{}
	var virtual time.Duration
	var steps uint64
	failures := 0
	seed := from
	for ; seed <= to; seed++ {
		w, err := runPlan(Expand(seed), nil)
		if err != nil {
			t.Errorf("%s\n    %v", reproduce(seed), err)
			if failures++; failures >= *flagStop {
				break
			}
		}
		add(counts, w.Counts())
		add(checks, w.Checks())
		virtual += w.Now()
		steps += w.Steps()
	}
	took := time.Since(began)
	n := min(seed, to) - from + 1
	t.Logf("%d seeds, %d failures, %.1f simulated hours, %d events in %.1f s: %.0f seeds/s, %.0f events/s",
		n, failures, virtual.Hours(), steps, took.Seconds(), float64(n)/took.Seconds(), float64(steps)/took.Seconds())
	t.Logf("what happened: %s", listed(counts))
	t.Logf("checks: %s", listed(checks))
	for _, number := range []string{"G1", "G2", "G3", "G4", "G5", "G5 reply", "G5 file", "G5 state", "G6", "G7", "G8", "G8 orphans", "G9", "L1", "L3"} {
		if checks[number] == 0 && n >= 20 {
			t.Errorf("%s was never checked", number)
		}
	}
}

// TestMain runs nothing but the plan when one is asked for, so that its trace hash is the last thing said.
func TestMain(m *testing.M) {
	flag.Parse()
	if oneRun() {
		if err := flag.Set("test.run", "^TestSeeds$"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func oneRun() bool { return *flagSeed != 0 || *flagPlan != "" }

func runOne(t *testing.T) {
	p := Expand(*flagSeed)
	if *flagPlan != "" {
		b, err := os.ReadFile(*flagPlan)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
	}
	if *flagSave != "" {
		b, err := json.MarshalIndent(p, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*flagSave, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var trace io.Writer
	if *flagTrace != "" {
		f, err := os.Create(*flagTrace)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		buffered := bufio.NewWriterSize(f, 1<<20)
		defer buffered.Flush()
		trace = buffered
	}
	w, err := runPlan(p, trace)
	if err != nil {
		t.Errorf("%s\n    %v\n%s", reproduce(p.Seed), err, lastEvents(p, 40))
	}
	t.Logf("%v simulated, %d events; %s; checks: %s", w.Now(), w.Steps(), listed(w.Counts()), listed(w.Checks()))
	fmt.Printf("seed %d trace %016x\n", p.Seed, w.Hash())
}

// lastEvents runs the plan again and keeps the end of its trace.
func lastEvents(p Plan, n int) string {
	var b bytes.Buffer
	_, _ = runPlan(p, &b)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func add(to, from map[string]int) {
	for k, v := range from {
		to[k] += v
	}
}

func listed(m map[string]int) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", k, m[k])
	}
	return b.String()
}

// TestDeterminism: the same seed gives the same trace, twice in this process and once in another.
func TestDeterminism(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		first, _ := runPlan(Expand(seed), nil)
		second, _ := runPlan(Expand(seed), io.Discard)
		if first.Hash() != second.Hash() {
			t.Fatalf("seed %d: trace %016x, then %016x", seed, first.Hash(), second.Hash())
		}
		if seed > 3 {
			continue
		}
		out, err := exec.Command(os.Args[0], "-test.run=TestSeeds", fmt.Sprintf("-seed=%d", seed)).CombinedOutput()
		want := fmt.Sprintf("seed %d trace %016x", seed, first.Hash())
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("in another process: %v, want %q, got\n%s", err, want, out)
		}
	}
}

// A plan survives being saved.
func TestPlanAsJSON(t *testing.T) {
	p := Expand(7)
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q Plan
	if err := json.Unmarshal(b, &q); err != nil {
		t.Fatal(err)
	}
	first, _ := runPlan(p, nil)
	second, _ := runPlan(q, nil)
	if first.Hash() != second.Hash() {
		t.Fatalf("trace %016x, from JSON %016x", first.Hash(), second.Hash())
	}
}
