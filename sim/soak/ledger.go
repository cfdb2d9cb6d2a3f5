package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// ledgerHead explains the ledger to its reader. One line a soak follows; they are only ever appended.
const ledgerHead = `# Soaks of the simulator: one line for each finished one, appended by make soak. Lines are never changed.
# A failing seed stands as number:seed; what it was and what became of it is told in sim/README.md.
date	commit	seeds	runs	failed	simulated hours	events	failing seeds
`

// record appends a finished soak to the ledger. It refuses what cannot be repeated from a commit.
func record(file, commit string, s *state, now time.Time) error {
	switch {
	case !s.finished():
		return errors.New("the soak is not finished")
	case commit == "":
		return errors.New("nobody said which commit the code is (-commit); make soak does")
	case strings.HasSuffix(commit, "-dirty"):
		return fmt.Errorf("the code is not that of a commit: there were changed or new files when it was built on top of %s; commit them and soak again",
			strings.TrimSuffix(commit, "-dirty"))
	case strings.Trim(commit, "0123456789abcdef") != "" || len(commit) < 12:
		return fmt.Errorf("%q is not a commit: want its hash", commit)
	}
	var failing []string
	for _, r := range s.Failed {
		failing = append(failing, fmt.Sprintf("%s:%d", r.Failure.Number, r.Seed))
	}
	slices.Sort(failing)
	if more := s.Totals.Failed - uint64(len(s.Failed)); more > 0 {
		failing = append(failing, fmt.Sprintf("and %d more", more))
	}
	if len(failing) == 0 {
		failing = []string{"none"}
	}
	line := fmt.Sprintf("%s\t%.12s\t%v\t%d\t%d\t%.1f\t%d\t%s\n", now.UTC().Format(time.DateOnly), commit, s.Seeds,
		s.Totals.Runs, s.Totals.Failed, s.Totals.Virtual.Hours(), s.Totals.Steps, strings.Join(failing, " "))

	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		line = ledgerHead + line
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
