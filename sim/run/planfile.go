package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dlm/sim"
)

// PlanFormat is the version of plan files that this code writes and reads.
//
//	{"Format": 1, "Broke": "G5", "Plan": {"Seed": 3401, "Config": {...}, "Actors": [...], "Faults": [...]}}
//
// Times are nanoseconds, rates millionths. A field that this version does not know is an error: a plan that is only half
// understood would pass for the wrong reason.
const PlanFormat = 1

// PlanFile is a plan as it is saved.
type PlanFile struct {
	Format int
	// Broke is the number of the promise that the plan broke when it was saved; empty if none.
	Broke string `json:",omitempty"`
	// Vary is with how many seeds the plan is run, counted from its own; 0 and 1 are one run. Latencies and crash points
	// within the plan are drawn as it runs, and a change of the simulator draws others: one run alone would lose its bite.
	Vary int `json:",omitempty"`
	Plan sim.Plan
}

// maxVary bounds PlanFile.Vary.
const maxVary = 1000

// Runs are the plans of a file: one, or as many as Vary says.
func (f PlanFile) Runs() []sim.Plan {
	var all []sim.Plan
	for i := range max(f.Vary, 1) {
		p := f.Plan
		p.Seed += uint64(i)
		all = append(all, p)
	}
	return all
}

// ErrPlanFile is wrapped by every error about the contents of a plan file.
var ErrPlanFile = errors.New("not a usable plan file")

// EncodePlan writes the text of a plan file.
func EncodePlan(p sim.Plan, broke string) ([]byte, error) {
	b, err := json.MarshalIndent(PlanFile{Format: PlanFormat, Broke: broke, Plan: p}, "", " ")
	return append(b, '\n'), err
}

// DecodePlan reads the text of a plan file. It refuses another format, unknown fields, anything after the plan, and a plan
// that cannot be run.
func DecodePlan(b []byte) (PlanFile, error) {
	var version struct{ Format *int }
	switch err := json.Unmarshal(b, &version); {
	case err != nil:
		return PlanFile{}, fmt.Errorf("%w: %s", ErrPlanFile, jsonProblem(b, err))
	case version.Format == nil:
		return PlanFile{}, fmt.Errorf("%w: it has no Format; this version writes and reads format %d", ErrPlanFile, PlanFormat)
	case *version.Format != PlanFormat:
		return PlanFile{}, fmt.Errorf("%w: it has format %d; this version reads format %d", ErrPlanFile, *version.Format, PlanFormat)
	}
	var f PlanFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return PlanFile{}, fmt.Errorf("%w: %s", ErrPlanFile, jsonProblem(b, err))
	}
	if f.Vary < 0 || f.Vary > maxVary {
		return PlanFile{}, fmt.Errorf("%w: Vary is %d; it must lie between 0 and %d", ErrPlanFile, f.Vary, maxVary)
	}
	if err := f.Plan.Check(); err != nil {
		return PlanFile{}, fmt.Errorf("%w: %w", ErrPlanFile, err)
	}
	return f, nil
}

// jsonProblem adds the line to an error of the decoder, where it knows the place.
func jsonProblem(b []byte, err error) string {
	at := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
	}
	if at < 0 || at > int64(len(b)) {
		return err.Error()
	}
	return fmt.Sprintf("line %d: %v", 1+bytes.Count(b[:at], []byte("\n")), err)
}

// LoadPlan reads a plan file. A relative name may start at the working directory or at the module's root, since `go test`
// runs a package's tests inside the package.
func LoadPlan(name string) (PlanFile, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && !filepath.IsAbs(name) {
		if root, rootErr := moduleRoot(); rootErr == nil {
			if again, againErr := os.ReadFile(filepath.Join(root, name)); againErr == nil {
				b, err = again, nil
			}
		}
	}
	if err != nil {
		return PlanFile{}, err
	}
	f, err := DecodePlan(b)
	if err != nil {
		return PlanFile{}, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// SavePlan writes a plan file whole or not at all.
func SavePlan(name string, p sim.Plan, broke string) error {
	b, err := EncodePlan(p, broke)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return WriteWhole(name, b)
}

// WriteWhole replaces a file whole or not at all.
func WriteWhole(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// KeepFailure saves a plan that failed below bin/, which git ignores, and returns its name from the module's root. A plan that
// is kept beside the one of its seed has a tag.
func KeepFailure(p sim.Plan, broke, tag string) (string, error) {
	name := fmt.Sprintf("bin/failures/seed-%d%s.json", p.Seed, tag)
	path, err := FromRoot(name)
	if err != nil {
		return "", err
	}
	return name, SavePlan(path, p, broke)
}

// FromRoot is the path of a file that is named from the module's root; a full path stays what it is.
func FromRoot(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	root, err := moduleRoot()
	return filepath.Join(root, name), err
}

// moduleRoot is the nearest directory above the working directory that holds a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("there is no go.mod here or above")
		}
		dir = up
	}
}
