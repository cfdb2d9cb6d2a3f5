package run

import (
	"fmt"
	"strings"

	"dlm/sim"
)

// SeedLine is the command that repeats a seed, PlanLine the one that repeats a plan.
func SeedLine(seed uint64) string { return fmt.Sprintf("go test ./sim -v -seed=%d", seed) }

// PlanLine is the command that repeats a plan file.
func PlanLine(file string) string { return fmt.Sprintf("go test ./sim -v -plan=%s", file) }

// Headline is the start of a report: the line that repeats the failure, then the broken promise in words, then what
// happened.
func Headline(line string, f *sim.Failure) string {
	return fmt.Sprintf("%s\n%s is broken: %s.\nAt %.6f s: %s\n", line, f.Number, Promise(f.Number), f.At.Seconds(), f.Text)
}

// Describe says what is in a plan, part by part; it is meant for small ones.
func Describe(p sim.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d clients, faults until %v\n", p.Seed, p.Config.Clients, p.Config.Faulty)
	fmt.Fprintf(&b, "  network %s\n", fields(p.Config.Net))
	for i, f := range p.Faults {
		fmt.Fprintf(&b, "  fault %d: %s\n", i, fields(f))
	}
	for i, a := range p.Actors {
		fmt.Fprintf(&b, "  actor %d: client %d, starts at %v, TTL %v%s%s\n", i, a.Client, a.Start, a.TTL, yes(a.Attach, ", attaches"), yes(a.ByHand, ", confirms by hand"))
		for _, op := range a.Ops {
			fmt.Fprintf(&b, "    %s\n", fields(op))
		}
	}
	return b.String()
}

func yes(b bool, text string) string {
	if b {
		return text
	}
	return ""
}

// Size says how large a plan is, in the things that a reader has to look at.
func Size(p sim.Plan) string {
	ops := 0
	for _, a := range p.Actors {
		ops += len(a.Ops)
	}
	return fmt.Sprintf("%s, %s, %s", many(len(p.Faults), "fault"), many(len(p.Actors), "actor"), many(ops, "operation"))
}

func many(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
