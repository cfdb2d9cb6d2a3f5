package side

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dlm/internal/bench"
)

// build makes our server.
func build(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	cmd := exec.Command("go", "-C", "../..", "build", "-buildvcs=false", "-o", bin+"/", "./cmd/server")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// Our two adapters under every workload, against the real server.
func TestOurs(t *testing.T) {
	ours := DLM(build(t))
	if v, err := ours.Version(); err != nil || !strings.HasPrefix(v, "server ") {
		t.Errorf("version %q, %v", v, err)
	}
	server, err := ours.Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for _, peer := range []Peer{Library(ours), Unary(ours)} {
		for _, w := range Workloads(300) {
			if peer.Only != nil && !slices.Contains(peer.Only, w.Name) {
				continue
			}
			t.Run(peer.Name+" "+w.Name, func(t *testing.T) {
				w.Use.Workers = min(w.Use.Workers, 64)
				run, err := Once(t.Context(), server, peer, w, bench.Job{Duration: 200 * time.Millisecond}, w.Name)
				if err != nil || len(run.Errors) > 0 || run.Operations == 0 {
					t.Errorf("%+v, %v", run, err)
				}
				if (w.Count > 0) && run.Operations != 300 {
					t.Errorf("%d locks acquired", run.Operations)
				}
				if w.Use.Apart != (run.OwnerChanges > 0) {
					t.Errorf("%v owner changes", run.OwnerChanges)
				}
			})
		}
	}
}

// A halted server answers nobody; one that goes on does. Its CPU time is read either way.
func TestHalt(t *testing.T) {
	ours := DLM(build(t))
	server, err := ours.Run(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server.Halt()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := dialLibrary(ctx, server.Addr, Use{Workers: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a halted server answered: %v", err)
	}
	if _, err := server.CPU(); err != nil {
		t.Error(err)
	}
	server.GoOn()
	c, err := dialLibrary(t.Context(), server.Addr, Use{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), server.Stop()); err != nil {
		t.Error(err)
	}
	if _, err := server.CPU(); err == nil {
		t.Error("CPU time of a server that is gone")
	}
}

// A service that is not installed is left out and named; one that does not start ends the run and says why.
func TestNotInstalled(t *testing.T) {
	missing := errors.New("no such program here")
	var said []string
	p := Plan{
		Peers: []Peer{{Name: "pear", Title: "Pear", Service: &Service{Find: func() error { return missing }}}},
		Dir:   t.TempDir(), Log: func(format string, _ ...any) { said = append(said, format) },
	}
	var r Results
	peers, err := p.start(t.Context(), map[*Service]*Running{}, &r)
	if err != nil || len(peers) != 0 || len(r.Skipped) != 1 || r.Skipped[0].Why != missing.Error() || len(said) != 1 {
		t.Errorf("%v, %v, %+v, said %q", peers, err, r, said)
	}
	if !strings.Contains(r.machine(), "Not measured: pear") {
		t.Error("the document does not say so")
	}
	s := &Service{Name: "false", Ports: 1, Start: func(string, []int) Command {
		return Command{Path: "/bin/sh", Args: []string{"-c", "echo it will not; exit 1"}}
	}}
	if _, err := s.Run(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "it will not") {
		t.Errorf("got %v", err)
	}
}

// rounds are results of two peers with the given rates.
func rounds(workload string, ours, theirs []float64) *Results {
	r := &Results{Peers: []About{{Name: "dlm", Title: "dlm"}, {Name: "etcd", Title: "etcd"}}, Rows: []RowAbout{{workload, "What"}}}
	add := func(peer string, rates []float64) {
		for i, x := range rates {
			r.Cells = append(r.Cells, Cell{Round: i + 1, Workload: workload, Peer: peer, Run: bench.Run{
				Rate: x, Operations: 1, ServerCPU: 1e6 / x, Latency: bench.Latency{P50: 10, P99: 40},
			}})
		}
	}
	add("dlm", ours)
	add("etcd", theirs)
	return r
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	// The machine slowed down by half in each round: every ratio is 8, though the medians' is not the same as any.
	r := rounds("pairs-64", []float64{8000, 4000, 2000}, []float64{1000, 500, 250})
	if got, ok := r.Ratio("pairs-64", "dlm", "etcd", rate); !ok || got != (Spread{8, 8, 8}) {
		t.Errorf("%+v", got)
	}
	if got, ok := r.Of("pairs-64", "dlm", rate); !ok || got != (Spread{4000, 2000, 8000}) {
		t.Errorf("%+v", got)
	}
	// A round that failed on one side is no ratio.
	r.Cells[0].Failed = "it broke"
	if got, _ := r.Ratio("pairs-64", "dlm", "etcd", rate); got != (Spread{8, 8, 8}) {
		t.Errorf("%+v", got)
	}
	if n, why := r.failures("pairs-64", "dlm"); n != 1 || why != "it broke" {
		t.Errorf("%d failures, %q", n, why)
	}
	if line := r.line("pairs-64", r.Peers[0], rate); !strings.Contains(line, "1: it broke") {
		t.Errorf("the table hides the failure: %s", line)
	}
}

func TestOutcomes(t *testing.T) {
	find := func(r *Results, workload string, fewer bool) string {
		for _, o := range r.outcomes() {
			if o.workload == workload && o.ours == "dlm" && (o.theirs == "etcd" || o.theirs == "") && o.fewer == fewer {
				return o.reached()
			}
		}
		return "no such target"
	}
	for _, c := range []struct {
		workload     string
		fewer        bool
		ours, theirs float64
		want         string
	}{
		{"pairs-64", false, 4400, 1000, "**missed**"},
		{"pairs-64", false, 4500, 1000, "reached"},
		{"pairs-64", false, 6000, 1000, "stretch"},
		{"pairs-1024", true, 7900, 1000, "**missed**"},
		{"pairs-1024", true, 8100, 1000, "reached"},
		{"pairs-1024", true, 20100, 1000, "stretch"},
		{"half", true, 1, 1, "reached"}, // p99 is four times the median
	} {
		if got := find(rounds(c.workload, []float64{c.ours}, []float64{c.theirs}), c.workload, c.fewer); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	if got := find(&Results{}, "pairs-64", false); got != "not measured" {
		t.Errorf("of nothing: %s", got)
	}
	known := map[string]bool{}
	for _, w := range Workloads(1) {
		known[w.Name] = true
	}
	for _, x := range targets {
		if !known[x.workload] {
			t.Errorf("a target for %q, which is no workload", x.workload)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		number(1234567): "1,234,567", number(999.6): "1,000", number(99.96): "100", number(3.14): "3.1", number(12345): "12,345",
		ratio(23.4): "23 x", ratio(2.345): "2.35 x", fraction(0.125): "1/8.0", fraction(1.5): "1.50 x", times(4.5): "4.5 x", times(2): "2 x",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The committed document and plot are those of the committed results.
func TestDocument(t *testing.T) {
	const dir = "../../docs/benchmarks"
	plot, doc, err := Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(dir, PlotFile): plot, dir + ".md": doc} {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what its results make: run make bench-document", path)
		}
	}
	if _, err := splice(doc, "pears", "x"); err == nil || !strings.Contains(err.Error(), "pears") {
		t.Errorf("a part without marks: %v", err)
	}
}
