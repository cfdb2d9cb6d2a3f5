package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// result is what became of a mutant.
type result struct {
	*mutant
	killer string // the number or the test that noticed; "" = nobody
	seed   uint64 // the first that failed; 0 = a self-test noticed
	wrong  string // why it does not count as killed; "" = it does
	detail string
	took   time.Duration
}

// outcome is the killer, or what went wrong.
func (r *result) outcome() string {
	if r.wrong != "" {
		return r.wrong
	}
	return r.killer
}

// hunt tries all mutants and prints progress and a table. False: one was not killed as its header says.
func hunt(ctx context.Context, out io.Writer, w *workshop, mutants []mutant, workers int, all bool) (bool, error) {
	began := time.Now()
	if err := control(ctx, w, mutants); err != nil {
		return false, fmt.Errorf("the unmutated code does not pass, so nothing would be shown: %w", err)
	}
	fmt.Fprintf(out, "%d mutants; the unmutated code passes (%.1f s)\n", len(mutants), time.Since(began).Seconds())

	results := make([]result, len(mutants))
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	next := make(chan int)
	for range workers {
		wg.Go(func() {
			for i := range next {
				r := w.hunt(ctx, &mutants[i], all)
				mu.Lock()
				results[i] = r
				done++
				fmt.Fprintf(out, "[%*d/%d] %s: %s (%.1f s)\n", len(fmt.Sprint(len(mutants))), done, len(mutants), r.name, r.line(), r.took.Seconds())
				if r.detail != "" {
					fmt.Fprintf(out, "%s\n", indent(r.detail))
				}
				mu.Unlock()
			}
		})
	}
	for i := range mutants {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	if ctx.Err() != nil {
		return false, fmt.Errorf("stopped after %d of %d", done, len(mutants))
	}
	return table(out, results, time.Since(began)), nil
}

// control runs what the mutants will be judged by over the code as it is.
func control(ctx context.Context, w *workshop, mutants []mutant) error {
	tests := map[string][]*selfTest{}
	for i := range mutants {
		if t := mutants[i].test; t != nil {
			tests[t.pkg] = append(tests[t.pkg], t)
		} else {
			tests[simulator] = nil
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		binary, err := w.build(ctx, nil, pkg)
		if err != nil {
			return err
		}
		tried := map[string]bool{}
		for _, t := range tests[pkg] {
			if tried[t.name] {
				continue
			}
			tried[t.name] = true
			if out, passed, err := w.try(ctx, binary, t); err != nil || !passed {
				return fmt.Errorf("%s %s fails: %v\n%s", t.pkg, t.name, err, tail(out, 20))
			}
		}
		if pkg == simulator {
			if deaths, err := w.simulate(ctx, binary, false); err != nil {
				return err
			} else if len(deaths) > 0 {
				return fmt.Errorf("seed %d breaks %s: %s", deaths[0].Seed, deaths[0].Failure.Number, deaths[0].Failure.Text)
			}
		}
	}
	return nil
}

// hunt builds one mutant and lets its killer look for it.
func (w *workshop) hunt(ctx context.Context, m *mutant, all bool) (r result) {
	began := time.Now()
	r.mutant = m
	defer func() { r.took = time.Since(began) }()
	pkg := simulator
	if m.test != nil && !all {
		pkg = m.test.pkg
	}
	binary, err := w.build(ctx, m, pkg)
	if err != nil {
		r.wrong, r.detail = "BROKEN PATCH", err.Error()
		return r
	}
	defer os.Remove(binary) // they are large and many
	if m.test != nil && !all {
		w.judgeTest(ctx, &r, binary)
		return r
	}
	deaths, err := w.simulate(ctx, binary, all)
	switch {
	case err != nil:
		r.wrong, r.detail = "BROKE THE RUN", err.Error()
	case len(deaths) == 0:
		r.wrong = "SURVIVED"
	default:
		r.killer, r.seed = deaths[0].Failure.Number, deaths[0].Seed
		if !slices.Contains(m.numbers, r.killer) {
			r.wrong = fmt.Sprintf("killed by %s instead of %s", r.killer, m.killers())
			r.detail = deaths[0].Failure.Text
		}
		if all {
			r.detail = census(deaths)
		}
	}
	return r
}

func (w *workshop) judgeTest(ctx context.Context, r *result, binary string) {
	out, passed, err := w.try(ctx, binary, r.test)
	switch {
	case err != nil:
		r.wrong, r.detail = "BROKE THE RUN", err.Error()+"\n"+tail(out, 20)
	case passed:
		r.wrong = "SURVIVED"
	case !strings.Contains(out, r.test.says):
		r.wrong = fmt.Sprintf("killed, but the test does not say %q", r.test.says)
		r.detail = tail(out, 20)
	default:
		r.killer = r.test.name
	}
}

// killers is what the header names.
func (m *mutant) killers() string {
	if m.test != nil {
		return m.test.name
	}
	return strings.Join(m.numbers, ", ")
}

func (r *result) line() string {
	switch {
	case r.wrong != "":
		return r.wrong
	case r.seed != 0:
		return fmt.Sprintf("killed by %s at seed %d", r.killer, r.seed)
	}
	return "killed by " + r.killer
}

// census counts the promises that broke, and shows an example of each.
func census(deaths []death) string {
	count, example := map[string]int{}, map[string]death{}
	for _, d := range deaths {
		number := d.Failure.Number
		if count[number]++; count[number] == 1 {
			example[number] = d
		}
	}
	var b strings.Builder
	for _, number := range slices.Sorted(maps.Keys(count)) {
		text, _, _ := strings.Cut(example[number].Failure.Text, "\n")
		fmt.Fprintf(&b, "%-5s %4d seeds, first %d: %s\n", number, count[number], example[number].Seed, text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// table prints all results and the sum; false: not every mutant was killed as it should be.
func table(out io.Writer, results []result, took time.Duration) bool {
	killed := 0
	name, by := len("mutant"), len("killed by")
	for i := range results {
		name, by = max(name, len(results[i].name)), max(by, len(results[i].outcome()))
	}
	fmt.Fprintf(out, "\n%-*s  %-*s  %5s  %5s  %s\n", name, "mutant", by, "killed by", "seeds", "s", "what it breaks")
	for i := range results {
		r := &results[i]
		seeds := "-"
		if r.seed != 0 {
			seeds = fmt.Sprint(r.seed)
		}
		if r.wrong == "" {
			killed++
		}
		fmt.Fprintf(out, "%-*s  %-*s  %5s  %5.1f  %s\n", name, r.name, by, r.outcome(), seeds, r.took.Seconds(), r.what)
	}
	survived, broken := 0, 0
	for i := range results {
		switch r := &results[i]; {
		case r.wrong == "":
		case r.wrong == "SURVIVED":
			survived++
		default:
			broken++
		}
	}
	fmt.Fprintf(out, "\n%d killed, %d survived", killed, survived)
	if broken > 0 {
		fmt.Fprintf(out, ", %d not as their header says", broken)
	}
	fmt.Fprintf(out, " (%.0f s)\n", took.Seconds())
	return killed == len(results)
}

func indent(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ")
}
