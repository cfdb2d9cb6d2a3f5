package explain

import (
	"errors"
	"os"

	"dlm/sim"
	"dlm/sim/run"
	"dlm/sim/timeline"
)

// Picture writes what rec holds of a run as an HTML file, named from the module's root unless its path is full. line is the
// command that repeats the run.
func Picture(file, line string, r run.Result, rec *sim.Recorder) error {
	file, err := run.FromRoot(file)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	page := timeline.Run{Seed: r.Seed, Hash: r.Hash, Command: line, Failure: r.Failure, Virtual: r.Virtual, Recorder: rec}
	if r.Failure != nil {
		page.Promise = Promise(r.Failure.Number)
	}
	return errors.Join(timeline.Write(f, page), f.Close())
}
