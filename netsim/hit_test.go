package netsim

import (
	"slices"
	"strings"
	"testing"
)

// A list of what struck gives the same run as the rates that it comes from; a shorter one lets the rest cross unharmed.
func TestOnlyTheseHits(t *testing.T) {
	rates := Faults{DelayMax: 50, DropPPM: 200_000, DupPPM: 200_000, LatePPM: 100_000, LateMax: 1000, SlowPPM: 100_000, SlowMax: 500}
	send := func(f Faults) ([]string, []Hit) {
		s, e := setup(f)
		for i := range 200 {
			e.n.SendToServer(0, 7, []byte{byte(i)})
		}
		run(s)
		return e.got, e.n.Struck()
	}
	all, struck := send(rates)
	if len(struck) < 60 {
		t.Fatalf("%d hits, want about 120", len(struck))
	}
	listed := rates
	listed.Only = struck
	if again, struckAgain := send(listed); !slices.Equal(all, again) || !slices.Equal(struck, struckAgain) {
		t.Error("with all hits listed, the network does something else")
	}
	drop := slices.IndexFunc(struck, func(h Hit) bool { return h.Kind == HitDrop })
	listed.Only = struck[drop : drop+1]
	got, struckOnce := send(listed)
	if len(got) != 199 || len(struckOnce) != 1 || struckOnce[0] != struck[drop] {
		t.Errorf("with one drop listed, %d of 200 messages arrived and %v struck", len(got), struckOnce)
	}
	if text := struckOnce[0].String(); !strings.HasPrefix(text, "drop of message ") {
		t.Errorf("a hit is called %q", text)
	}
}
