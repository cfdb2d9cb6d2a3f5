package sim

import (
	"time"

	"dlm/netsim"
)

// faultRate is how often a kind of fault strikes: in a share of the seeds (in millionths), and there up to most times.
type faultRate struct {
	kind  FaultKind
	share int
	most  int
	shape func(Chooser, *Config, *Fault)
}

// faultRates are the kinds that a seed draws its own subset of.
var faultRates = []faultRate{
	{FaultServerCrash, 500_000, 4, shapeCrash},
	{FaultCrashLoop, 100_000, 2, shapeCrash},
	{FaultDiskCrash, 600_000, 6, shapeCrash},
	{FaultServerStall, 300_000, 3, nil},
	{FaultSync, 150_000, 2, shapeCrash},
	{FaultWrite, 100_000, 2, shapeCrash},
	{FaultClientCrash, 500_000, 3, shapeClientCrash},
	{FaultClientStall, 500_000, 4, func(r Chooser, _ *Config, f *Fault) { f.Mid = r.Chance(400_000) }},
	{FaultCut, 400_000, 4, func(r Chooser, _ *Config, f *Fault) { f.Way = r.IntN(3) }},
	{FaultIsolate, 200_000, 2, nil},
	{FaultClog, 300_000, 4, func(r Chooser, _ *Config, f *Fault) { f.Way, f.Break = r.IntN(3), r.Chance(400_000) }},
	{FaultReset, 400_000, 8, nil},
	{FaultRate, 700_000, 8, shapeRate},
	{FaultBackup, 300_000, 4, nil},
}

// drawFaults draws the faults of a plan.
func drawFaults(r Chooser, c Config) []Fault {
	var faults []Fault
	for i := range faultRates {
		k := &faultRates[i]
		if !r.Chance(k.shareOf(&c)) {
			continue
		}
		r.Times(1, k.most, func(r Chooser) {
			f := Fault{
				At: r.Between(0, c.Faulty), Kind: k.kind, Client: r.IntN(c.Clients),
				For: r.Tail(10*time.Millisecond, 6*time.Second), Budget: r.IntN(8),
			}
			if c.ClocksBeyondRho {
				f.For = r.Between(500*time.Millisecond, 6*time.Second)
			}
			if c.Faulty > longRun { // long enough for a session of the default TTL to expire
				f.For = r.Tail(10*time.Millisecond, c.Faulty)
			}
			if k.shape != nil {
				k.shape(r, &c, &f)
			}
			faults = append(faults, f)
		})
	}
	return faults
}

// shareOf is the share of the seeds of that kind. Clocks beyond rho are of interest together with clients that are out of
// reach.
func (k *faultRate) shareOf(c *Config) int {
	if c.ClocksBeyondRho {
		switch k.kind {
		case FaultRate, FaultCut, FaultClientStall:
			return 1_000_000
		}
	}
	return k.share
}

func shapeCrash(r Chooser, _ *Config, f *Fault) {
	f.Power, f.Again = r.Chance(500_000), r.Chance(250_000)
	switch f.Kind {
	case FaultServerCrash:
		f.Point = netsim.Pick(r, "", "", PointArrival, PointDecided, PointSent, PointSynced)
	case FaultCrashLoop:
		f.Times = 2 + r.IntN(4)
	}
}

// shapeClientCrash lets some clients stay away until the world heals.
func shapeClientCrash(r Chooser, c *Config, f *Fault) {
	if r.Chance(150_000) {
		f.For = c.Faulty
	}
}

func shapeRate(r Chooser, c *Config, f *Fault) {
	f.Client = r.IntN(c.Clients+1) - 1
	bound := c.RateBound()
	f.PPM = netsim.Pick(r, 0, bound-1, r.Uint64()%bound)
	if c.ClocksBeyondRho { // the server's fast, the clients' slow: leases end earlier than their holders think
		f.At = r.Between(0, 2*time.Second)
		if f.PPM = 0; f.Client < 0 {
			f.PPM = bound - 1
		}
	}
}
