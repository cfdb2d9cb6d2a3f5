package costs

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

const recorded = "testdata/costs.tsv"

var record = flag.Bool("record", false, "write "+recorded+" anew")

// Benchmark measures each workload; one iteration is a step.
func Benchmark(b *testing.B) {
	for _, w := range workloads {
		b.Run(strings.ReplaceAll(w.name, " ", "_"), func(b *testing.B) {
			next := w.make(b)
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
			ops := float64(b.N * w.ops)
			b.ReportMetric(b.Elapsed().Seconds()*1e9/ops, "ns/request")
			b.ReportMetric(ops/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// cost is what one operation allocates.
type cost struct{ allocs, bytes float64 }

func (c cost) String() string {
	return fmt.Sprintf("%.2f allocations and %.0f bytes", c.allocs, c.bytes)
}

// near allows for what does not belong to the operation: a map or a list that grows now and then, the runtime's own.
func near(got, want, slack float64) bool { return got <= want*1.02+slack && got >= want*0.98-slack }

func (c cost) near(want cost) bool {
	return near(c.allocs, want.allocs, 0.05) && near(c.bytes, want.bytes, 8)
}

// TestCosts compares what each workload allocates with what is recorded. Less is a reason to record, too: what was gained
// shall not be lost unnoticed.
func TestCosts(t *testing.T) {
	if *record {
		writeCosts(t)
		return
	}
	want := readCosts(t)
	for _, w := range workloads {
		known, ok := want[w.name]
		delete(want, w.name)
		got := measure(t, w)
		switch {
		case !ok:
			t.Errorf("%s: %v an operation, and nothing is recorded; make benchcheck RECORD=1 records it", w.name, got)
		case !got.near(known):
			t.Errorf("%s: %v an operation, recorded are %v; find out why, and record it if it is meant to be: make benchcheck RECORD=1 (this is %s)",
				w.name, got, known, runtime.Version())
		default:
			t.Logf("%s: %v an operation", w.name, got)
		}
	}
	for name := range want {
		t.Errorf("%s is recorded and no longer measured; make benchcheck RECORD=1 removes it", name)
	}
}

// measure does a fixed number of steps: two runs of a program do the same.
func measure(t *testing.T, w workload) cost {
	const requests = 10_000 // about
	next := w.make(t)
	steps := max(requests/w.ops, 64)
	for range steps / 4 {
		next()
	}
	best := cost{}
	for round := range 3 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range steps {
			next()
		}
		runtime.ReadMemStats(&after)
		ops := float64(steps * w.ops)
		got := cost{float64(after.Mallocs-before.Mallocs) / ops, float64(after.TotalAlloc-before.TotalAlloc) / ops}
		if round == 0 || got.allocs < best.allocs {
			best = got
		}
	}
	return best
}

func writeCosts(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "# What an operation allocates, as of %s; written by make benchcheck RECORD=1.\n# allocations\tbytes\tworkload\n", runtime.Version())
	for _, w := range workloads {
		c := measure(t, w)
		fmt.Fprintf(&b, "%.2f\t%.0f\t%s\n", c.allocs, c.bytes, w.name)
	}
	if err := os.WriteFile(recorded, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("wrote %s", recorded)
}

func readCosts(t *testing.T) map[string]cost {
	f, err := os.Open(recorded)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	costs := map[string]cost{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			t.Fatalf("%s: want allocations, bytes and workload, got %q", recorded, lines.Text())
		}
		allocs, err1 := strconv.ParseFloat(fields[0], 64)
		bytes, err2 := strconv.ParseFloat(fields[1], 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: these are no numbers: %q", recorded, lines.Text())
		}
		costs[fields[2]] = cost{allocs, bytes}
	}
	return costs
}
