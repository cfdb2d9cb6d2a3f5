// Mutants breaks the code on purpose, one small bug at a time, and requires that the simulator or a test notices each.
// What a surviving mutant shows is not in the code but in the checks: they are blind to that bug.
//
//	mutants                 all mutants of sim/mutants
//	mutants -run 'wal-'     those whose name matches
//	mutants -slice 5        five that the commit picks: every commit tries others
//	mutants -all -run NAME  all seeds, with every promise that breaks
//
// It ends with a table and exits with 1 unless every mutant was killed by what its header names. The unmutated code has to
// pass the same seeds and tests first.
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := mainErr(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func mainErr(ctx context.Context) (bool, error) {
	var (
		dir     = flag.String("dir", "sim/mutants", "where the patches are, below the module's directory")
		names   = flag.String("run", "", "only mutants whose name matches this regular expression")
		slice   = flag.Int("slice", 0, "only so many, picked by the commit")
		seeds   = flag.String("seeds", "1-200", "seeds within which the simulator must notice")
		workers = flag.Int("j", runtime.NumCPU(), "how many mutants to try at a time")
		all     = flag.Bool("all", false, "run all seeds and list every promise that breaks")
		limit   = flag.Duration("limit", 2*time.Minute, "how long the runs of one mutant may take")
		goTool  = flag.String("go", "go", "the go command")
	)
	flag.Parse()
	root, err := os.Getwd()
	if err != nil {
		return false, err
	}
	if _, err := os.Stat("go.mod"); err != nil || flag.NArg() > 0 || *workers < 1 {
		return false, fmt.Errorf("call it in the module's directory, with flags only, see -help")
	}
	mutants, err := load(filepath.Join(root, *dir))
	if err != nil {
		return false, err
	}
	pattern, err := regexp.Compile(*names)
	if err != nil {
		return false, err
	}
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !pattern.MatchString(m.name) })
	if *slice > 0 {
		mutants = pick(mutants, *slice, commit(ctx, root))
	}
	if len(mutants) == 0 {
		return false, fmt.Errorf("no mutant matches -run %q", *names)
	}
	tmp, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	w := &workshop{goTool: *goTool, root: root, dir: tmp, limit: *limit}
	if _, err := fmt.Sscanf(*seeds, "%d-%d", &w.from, &w.to); err != nil || w.from < 1 || w.from > w.to {
		return false, fmt.Errorf("-seeds=%q: want A-B", *seeds)
	}
	return hunt(ctx, os.Stdout, w, mutants, *workers, *all)
}

// commit names what is checked out, so that every commit picks other mutants; "" without git.
func commit(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "rev-parse", "HEAD")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// pick takes n of the mutants; which ones depends on the commit alone.
func pick(mutants []mutant, n int, commit string) []mutant {
	rank := func(m mutant) uint64 {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s/%s", commit, m.name)
		return h.Sum64()
	}
	mutants = slices.SortedFunc(slices.Values(mutants), func(a, b mutant) int {
		if rank(a) < rank(b) {
			return -1
		}
		return 1
	})
	return mutants[:min(n, len(mutants))]
}
