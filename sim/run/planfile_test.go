package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm/sim"
)

// A plan survives being saved: it runs as it did.
func TestPlanFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "plan.json")
	p := sim.Expand(7)
	if err := SavePlan(name, p, "G4"); err != nil {
		t.Fatal(err)
	}
	f, err := LoadPlan(name)
	if err != nil {
		t.Fatal(err)
	}
	if f.Broke != "G4" {
		t.Errorf("it broke %q, want G4", f.Broke)
	}
	if first, second := Run(p, nil), Run(f.Plan, nil); first.Hash != second.Hash {
		t.Errorf("trace %016x, from the file %016x", first.Hash, second.Hash)
	}
}

// What seeds draw is inside the bounds of Check.
func TestSeedsDrawGoodPlans(t *testing.T) {
	for seed := uint64(1); seed <= 2000; seed++ {
		p := sim.Expand(seed)
		if err := p.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestBadPlanFiles(t *testing.T) {
	good, err := EncodePlan(sim.Expand(7), "")
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("the plan has no %s", old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "unexpected end"},
		{"no json", "seed 7", "line 1"},
		{"cut off", string(good[:len(good)/2]), "unexpected end"},
		{"no format", swap(`"Format": 1,`, ``), "it has no Format; this version writes and reads format 1"},
		{"another format", swap(`"Format": 1`, `"Format": 2`), "it has format 2; this version reads format 1"},
		{"unknown field", swap(`"Clients"`, `"Servers": 3, "Clients"`), `unknown field "Servers"`},
		{"wrong type", swap(`"Format": 1`, `"Format": "x"`), "line 2"},
		{"two plans", string(good) + string(good), "after top-level value"},
		{"no clients", swap(`"Clients": `, `"Clients": -`), "Clients is -"},
		{"too much variation", swap(`"Format": 1,`, `"Format": 1, "Vary": 1001,`), "Vary is 1001; it must lie between 0 and 1000"},
		{"unknown operation", swap(`"Kind": "lock"`, `"Kind": "steal"`), `Kind is "steal"; these are allowed`},
		{"unknown fault", swap(`"Faults": [`, `"Faults": [{"Kind": "flood", "At": 0},`), `Faults[0]: Kind is "flood"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "bad.json")
			if err := os.WriteFile(name, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := LoadPlan(name)
			if !errors.Is(err, ErrPlanFile) {
				t.Fatalf("got %v, want ErrPlanFile", err)
			}
			for _, want := range []string{c.want, "bad.json"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
	if _, err := LoadPlan("no/such/plan.json"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}
