package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dlm/sim/run"
)

// state is how far a soak is. It is kept in a file that is named after the seeds and the code, so that results of different
// code never mix: other code begins anew.
//
//	First ........ Next - 1 | Next | Next + 1 ...
//	     all done           | not  | only those in Ahead are done: other processes were faster
type state struct {
	Seeds   run.Range
	Code    string // hash of the program that runs the seeds
	Next    uint64
	Ahead   []uint64 `json:",omitempty"`
	Totals  run.Totals
	Failed  []run.Result `json:",omitempty"` // at most mostFailures
	Elapsed time.Duration
	Stops   int // how often it was begun again

	file    string
	begun   time.Time // this sitting
	before  time.Duration
	already uint64 // runs of former sittings
	saved   time.Time
	given   uint64 // the next seed to hand out
}

// mostFailures bounds what is remembered: after so many, the code needs a look and not more seeds.
const mostFailures = 200

// resume reads the state of this soak, or begins one.
func resume(o options) (*state, error) {
	code, err := codeHash(o.program)
	if err != nil {
		return nil, err
	}
	s := &state{
		Seeds: o.seeds, Code: code, Next: o.seeds.First,
		file: filepath.Join(o.state, fmt.Sprintf("%v-%s.json", o.seeds, code[:12])),
	}
	if err := os.MkdirAll(o.state, 0o755); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(s.file)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, s); err != nil {
			return nil, fmt.Errorf("%s is damaged (%w); remove it to begin anew", s.file, err)
		}
		s.Stops++
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	s.begun, s.saved = time.Now(), time.Now()
	s.before, s.already, s.given = s.Elapsed, s.Totals.Runs, s.Next
	return s, nil
}

func codeHash(program string) (string, error) {
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return "", err
		}
	}
	f, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// next hands out the seeds that are not done.
func (s *state) next() (uint64, bool) {
	for s.given <= s.Seeds.Last {
		seed := s.given
		s.given++
		if !slices.Contains(s.Ahead, seed) {
			return seed, true
		}
	}
	return 0, false
}

// add takes a result in.
func (s *state) add(r run.Result) {
	s.Totals.Add(r)
	if r.Failure != nil && len(s.Failed) < mostFailures {
		r.Counts, r.Checks = nil, nil
		s.Failed = append(s.Failed, r)
	}
	s.Ahead = append(s.Ahead, r.Seed)
	for {
		i := slices.Index(s.Ahead, s.Next)
		if i < 0 {
			return
		}
		s.Ahead = slices.Delete(s.Ahead, i, i+1)
		s.Next++
	}
}

func (s *state) finished() bool { return s.Next > s.Seeds.Last }

func (s *state) elapsed() time.Duration { return s.before + time.Since(s.begun) }

// rate is seeds a second of this sitting.
func (s *state) rate() float64 {
	return float64(s.Totals.Runs-s.already) / max(time.Since(s.begun).Seconds(), 1e-3)
}

func (s *state) saveNowAndThen() {
	if time.Since(s.saved) > 2*time.Second {
		s.saved = time.Now()
		_ = s.save() // the last save of the soak tells of its error
	}
}

func (s *state) save() error {
	s.Elapsed = s.elapsed()
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return run.WriteWhole(s.file, append(b, '\n'))
}
