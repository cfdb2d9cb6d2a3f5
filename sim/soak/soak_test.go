package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm/sim/run"
)

// TestMain makes this test's program a soak, or a child of one: a real one, or one that makes some seeds fail.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("DLM_SOAK_TEST_CHILD") != "":
		for {
			var seed uint64
			if _, err := fmt.Scan(&seed); err != nil {
				os.Exit(0)
			}
			failure := ""
			if seed%10 == 0 {
				failure = `, "Failure": {"Number": "G3", "Text": "planted\nmore", "At": 5}`
			}
			time.Sleep(2 * time.Millisecond)
			fmt.Printf("{\"Seed\": %d, \"Steps\": 10, \"Virtual\": 3600000000000, \"Counts\": {\"fault cut\": 2, \"probe a herd waits\": 1}%s}\n", seed, failure)
		}
	case os.Getenv("DLM_SOAK_TEST_MAIN") != "":
		main()
	}
	run.ServeIfAsked()
	os.Exit(m.Run())
}

func planted(t *testing.T, seeds run.Range) options {
	dir := t.TempDir()
	return options{
		seeds: seeds, processes: 2, state: filepath.Join(dir, "state"), ledger: filepath.Join(dir, "LEDGER.tsv"),
		commit: strings.Repeat("ab", 20), env: []string{"DLM_SOAK_TEST_CHILD=1"},
	}
}

// A soak goes on past failures, ends with a summary that names each with its line, and is recorded.
func TestSoakWithFailures(t *testing.T) {
	o := planted(t, run.Range{First: 1, Last: 30})
	var out bytes.Buffer
	if code := soak(context.Background(), o, &out); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{
		"30 runs, 3 failed", "30.0 simulated hours, 300 events", "go test ./sim -v -seed=20\n        G3: planted\n", "faults: cut 60", "30  a herd waits",
		"NEVER CHECKED: G1, ", "recorded in ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, out.String())
		}
	}
	b, err := os.ReadFile(o.ledger)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\tabababababab\t1-30\t30\t3\t30.0\t300\tG3:10 G3:20 G3:30\n"; !strings.HasSuffix(string(b), want) || !strings.HasPrefix(string(b), "# ") {
		t.Errorf("the ledger is\n%swant it to end in %q", b, want)
	}
	if left, _ := filepath.Glob(o.state + "/*"); len(left) != 0 {
		t.Errorf("a finished soak left %v", left)
	}
}

// A soak that was stopped several times ends with the same numbers as one that was not.
func TestSoakStoppedAndResumed(t *testing.T) {
	o := planted(t, run.Range{First: 1, Last: 60})
	for sitting := 0; ; sitting++ {
		if sitting > 60 {
			t.Fatal("it does not get on")
		}
		// Longer each time, so that a machine that is slow to start processes gets on too.
		ctx, stop := context.WithTimeout(context.Background(), time.Duration(30+2*sitting)*time.Millisecond)
		var out bytes.Buffer
		code := soak(ctx, o, &out)
		stop()
		if code == 130 {
			if _, err := os.Stat(o.ledger); err == nil {
				t.Error("a stopped soak was recorded")
			}
			continue
		}
		if sitting == 0 {
			t.Skip("this machine is so fast that nothing was there to be stopped")
		}
		if code != 1 || !strings.Contains(out.String(), "goes on after") || !strings.Contains(out.String(), "60 runs, 6 failed") ||
			!strings.Contains(out.String(), "faults: cut 120") {
			t.Errorf("exit code %d after %d sittings:\n%s", code, sitting+1, out.String())
		}
		return
	}
}

// Other code or another range begins anew; a damaged state is said to be one.
func TestSoakState(t *testing.T) {
	o := planted(t, run.Range{First: 1, Last: 60})
	s, err := resume(o)
	if err != nil {
		t.Fatal(err)
	}
	// Seeds end out of order: 1 and 3 are done, 2 is not.
	for _, seed := range []uint64{1, 3} {
		s.add(run.Result{Seed: seed})
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	again, err := resume(o)
	if err != nil {
		t.Fatal(err)
	}
	var rest []uint64
	for range 2 {
		seed, _ := again.next()
		rest = append(rest, seed)
	}
	if again.Totals.Runs != 2 || rest[0] != 2 || rest[1] != 4 {
		t.Errorf("%d runs are done, %v come next; want 2, and 2 and 4", again.Totals.Runs, rest)
	}
	other := o
	other.program = filepath.Join(o.state, "program")
	if err := os.WriteFile(other.program, []byte("other code"), 0o755); err != nil {
		t.Fatal(err)
	}
	if s, err := resume(other); err != nil || s.Totals.Runs != 0 {
		t.Errorf("other code goes on where this one stopped (%v)", err)
	}
	if err := os.WriteFile(s.file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := resume(o); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged state: %v", err)
	}
}

// What cannot be repeated from a commit is not recorded.
func TestLedgerRefuses(t *testing.T) {
	done := &state{Seeds: run.Range{First: 1, Last: 2}, Next: 3}
	file := filepath.Join(t.TempDir(), "LEDGER.tsv")
	for commit, want := range map[string]string{
		"": "nobody said", strings.Repeat("ab", 20) + "-dirty": "not that of a commit", "main": "is not a commit",
	} {
		if err := record(file, commit, done, time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("commit %q: %v, want %q", commit, err, want)
		}
	}
	if err := record(file, strings.Repeat("ab", 20), &state{Seeds: done.Seeds, Next: 2}, time.Now()); err == nil {
		t.Error("a soak that is not finished was recorded")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a ledger")
	}
}

// lockedBuffer is written by the process's copier and read here.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// The program itself: an interrupt stops it, the same command goes on.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	for sitting := range 2 {
		cmd := exec.Command(os.Args[0], "-seeds=1-1000000", "-processes=2", "-state="+dir)
		cmd.Env = append(os.Environ(), "DLM_SOAK_TEST_MAIN=1")
		var out lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(2 * time.Minute)
		for !saved(dir, sitting) && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "the same command goes on") {
			t.Fatalf("sitting %d: exit code %d, want 130\n%s", sitting, code, out.String())
		}
		if sitting == 1 && !strings.Contains(out.String(), "soak: goes on after ") {
			t.Errorf("it did not go on:\n%s", out.String())
		}
	}
}

// saved says whether a state was saved in a sitting.
func saved(dir string, sitting int) bool {
	names, _ := filepath.Glob(dir + "/*.json")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err == nil && bytes.Contains(b, fmt.Appendf(nil, `"Stops":%d`, sitting)) {
			return true
		}
	}
	return false
}
