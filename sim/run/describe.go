package run

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"dlm/sim"
)

// Describe says what is in a plan, part by part; it is meant for small ones.
func Describe(p sim.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d clients, faults until %v\n", p.Seed, p.Config.Clients, p.Config.Faulty)
	net := p.Config.Net
	net.Only = nil
	fmt.Fprintf(&b, "  network %s\n", fields(net))
	for _, h := range p.Config.Net.Only {
		fmt.Fprintf(&b, "  only this is hit: %v\n", h)
	}
	inTime := slices.SortedStableFunc(slices.Values(p.Faults), func(a, b sim.Fault) int { return cmp.Compare(a.At, b.At) })
	for _, f := range inTime {
		fmt.Fprintf(&b, "  fault %s\n", fields(f))
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
	faults := many(len(p.Faults), "fault")
	if n := len(p.Config.Net.Only); n > 0 {
		faults += " and " + many(n, "message") + " hit"
	}
	return fmt.Sprintf("%s, %s, %s", faults, many(len(p.Actors), "actor"), many(ops, "operation"))
}

func many(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// fields prints those fields of a struct that are not zero, by reflection, so that fields which are added to plans later
// are printed too.
func fields(v any) string {
	var parts []string
	rv := reflect.ValueOf(v)
	for i := range rv.NumField() {
		name, value := rv.Type().Field(i).Name, rv.Field(i)
		switch {
		case value.IsZero():
		case value.Kind() == reflect.Bool:
			parts = append(parts, name)
		case value.Kind() == reflect.String && name == "Kind":
			parts = append([]string{value.String()}, parts...)
		default:
			parts = append(parts, fmt.Sprintf("%s %v", name, value.Interface()))
		}
	}
	if len(parts) == 0 {
		return "perfect"
	}
	return strings.Join(parts, ", ")
}
