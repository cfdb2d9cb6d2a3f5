package sim

import (
	"fmt"
	"slices"
	"time"

	"dlm/netsim"
)

// The bounds of a plan that can be run. Seeds draw well inside them.
const (
	maxClients  = 64
	maxActors   = 1024
	maxOps      = 100_000
	maxFaults   = 100_000
	maxDuration = 24 * time.Hour
	million     = 1_000_000
)

var opKinds = []OpKind{OpLock, OpStale, OpRead, OpRevoke, OpRevokeSess, OpClose, OpTakeOver, OpSetLimits}

var crashPoints = []CrashPoint{"", PointArrival, PointDecided, PointSent, PointSynced}

var faultKinds = []FaultKind{
	FaultServerCrash, FaultCrashLoop, FaultDiskCrash, FaultServerStall, FaultSync, FaultWrite, FaultClientCrash,
	FaultClientStall, FaultCut, FaultIsolate, FaultClog, FaultReset, FaultRate, FaultBackup, FaultRot, FaultStray, FaultStale, FaultRead,
	FaultSlow, FaultFull,
}

// Check says what is wrong with a plan that was not drawn here but written by hand or by another version.
func (p *Plan) Check() error {
	if err := p.Config.check(); err != nil {
		return fmt.Errorf("plan: Config: %w", err)
	}
	if n := len(p.Actors); n > maxActors {
		return fmt.Errorf("plan: %d Actors; at most %d are allowed", n, maxActors)
	}
	if n := len(p.Faults); n > maxFaults {
		return fmt.Errorf("plan: %d Faults; at most %d are allowed", n, maxFaults)
	}
	for i := range p.Actors {
		if err := p.Actors[i].check(p.Config.Clients); err != nil {
			return fmt.Errorf("plan: Actors[%d]: %w", i, err)
		}
	}
	for i := range p.Faults {
		if err := p.Faults[i].check(p.Config.Clients); err != nil {
			return fmt.Errorf("plan: Faults[%d]: %w", i, err)
		}
	}
	return nil
}

func (c *Config) check() error {
	if err := within("Clients", c.Clients, 1, maxClients); err != nil {
		return err
	}
	// A clock's rate is drawn below DriftPPM, so there must be something below it.
	if err := within("DriftPPM", c.DriftPPM, 1, million); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"Faulty", c.Faulty},
		{"DiskMin", c.DiskMin},
		{"DiskMax", c.DiskMax},
		{"DiskSlow", c.DiskSlow},
		{"GapMax", c.GapMax},
		{"AttemptTimeout", c.AttemptTimeout},
		{"BackoffMin", c.BackoffMin},
		{"BackoffMax", c.BackoffMax},
		{"QueuedRetry", c.QueuedRetry},
		{"Net.DelayMin", c.Net.DelayMin},
		{"Net.DelayMax", c.Net.DelayMax},
		{"Net.SlowMax", c.Net.SlowMax},
		{"Net.LateMax", c.Net.LateMax},
	} {
		if err := within(d.name, d.d, 0, maxDuration); err != nil {
			return err
		}
	}
	for _, r := range []struct {
		name string
		ppm  int
	}{
		{"SlowPPM", c.Net.SlowPPM},
		{"DropPPM", c.Net.DropPPM},
		{"DupPPM", c.Net.DupPPM},
		{"LatePPM", c.Net.LatePPM},
		{"ResetPPM", c.Net.ResetPPM},
		{"DialFailPPM", c.Net.DialFailPPM},
	} {
		if err := within("Net."+r.name, r.ppm, 0, million); err != nil {
			return err
		}
	}
	if c.CalmResets != 0 {
		if err := within("CalmResets", c.CalmResets, calmResetsLeast, maxDuration); err != nil {
			return err
		}
	}
	if err := checkHits(c.Net.Only, c.Clients); err != nil {
		return fmt.Errorf("Net.Only%w", err)
	}
	if err := within("OpenFiles", c.OpenFiles, 0, million); err != nil {
		return err
	}
	if err := within("SnapshotSlice", c.SnapshotSlice, 0, million); err != nil {
		return err
	}
	return within("SegmentBytes", c.SegmentBytes, 0, 1<<30)
}

func checkHits(hits []netsim.Hit, clients int) error {
	if n := len(hits); n > maxFaults {
		return fmt.Errorf("%d hits; at most %d are allowed", n, maxFaults)
	}
	for i, h := range hits {
		if !slices.Contains(netsim.HitKinds(), h.Kind) {
			return fmt.Errorf("[%d]: Kind is %q; these are allowed: %q", i, h.Kind, netsim.HitKinds())
		}
		if err := within("Client", h.Client, 0, clients-1); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (a *Actor) check(clients int) error {
	if err := within("Client", a.Client, 0, clients-1); err != nil {
		return err
	}
	if err := within("Start", a.Start, 0, maxDuration); err != nil {
		return err
	}
	if err := within("TTL", a.TTL, 0, maxDuration); err != nil {
		return err
	}
	if n := len(a.Ops); n > maxOps {
		return fmt.Errorf("%d Ops; at most %d are allowed", n, maxOps)
	}
	for i := range a.Ops {
		if err := a.Ops[i].check(); err != nil {
			return fmt.Errorf("in Ops[%d]: %w", i, err)
		}
	}
	return nil
}

func (o *Op) check() error {
	if !slices.Contains(opKinds, o.Kind) {
		return fmt.Errorf("Kind is %q; these are allowed: %q", o.Kind, opKinds)
	}
	if err := within("Steps", o.Steps, 0, 10_000); err != nil {
		return err
	}
	if err := within("Bytes", o.Bytes, 0, 1<<20); err != nil {
		return err
	}
	if err := within("Value", o.Value, 0, 1<<20); err != nil {
		return err
	}
	if err := within("Again", o.Again, 0, maxDuration); err != nil {
		return err
	}
	if o.Kind == OpSetLimits && o.Limits == nil {
		return fmt.Errorf("a %q needs Limits", o.Kind)
	}
	return within("Think", o.Think, 0, maxDuration)
}

func (f *Fault) check(clients int) error {
	if !slices.Contains(faultKinds, f.Kind) {
		return fmt.Errorf("Kind is %q; these are allowed: %q", f.Kind, faultKinds)
	}
	if !slices.Contains(crashPoints, f.Point) {
		return fmt.Errorf("%q is no Point; these are allowed: %q", f.Point, crashPoints)
	}
	if err := within("Times", f.Times, 0, 1000); err != nil {
		return err
	}
	if err := within("At", f.At, 0, maxDuration); err != nil {
		return err
	}
	if err := within("For", f.For, 0, maxDuration); err != nil {
		return err
	}
	return within("Client", f.Client, -1, clients-1)
}

func within[T int | int64 | uint64 | time.Duration](name string, v, low, high T) error {
	if v < low || v > high {
		return fmt.Errorf("%s is %v; it must lie between %v and %v", name, v, low, high)
	}
	return nil
}
