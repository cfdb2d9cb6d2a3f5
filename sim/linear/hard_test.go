package linear

import (
	"fmt"
	"strings"
	"testing"

	. "dlm/sim/history"
)

// Recorded histories with many calls that were never answered. Trying their orders one by one would take far more than
// Steps; each must be decided with a hundredth of them.
func TestCheckDecidesManyUnanswered(t *testing.T) {
	const calls = 20
	data := func(i int) string { return fmt.Sprintf("<%02d>", i) }
	saw := func(at int64, which ...int) Op {
		var all strings.Builder
		for _, i := range which {
			all.WriteString(data(i))
		}
		return read(at, at+1, all.String())
	}
	deleted := func(call int64) Op {
		return Op{Kind: Delete, Call: call, Return: call + 1, Lock: "a", Token: 1, File: "f"}
	}
	for _, c := range []struct {
		name  string
		right bool
		then  []Op
	}{
		{"none took place", true, []Op{write(60, 61, 1, 0, "end"), read(70, 71, "end")}},
		{"none took place, and nothing was seen of any", true, nil},
		{"some did, in another order than they were called in", true, []Op{
			saw(40, 7), saw(42, 7, 3), saw(44, 7, 3, 19, 0), write(60, 61, 1, 16, "end"), read(70, 71, data(7)+data(3)+data(19)+data(0)+"end"),
		}},
		{"one was there and then was not", false, []Op{
			saw(40, 7), saw(42, 7, 3), saw(44, 7, 19, 3), write(60, 61, 1, 12, "end"),
		}},
		{"one was there twice", false, []Op{saw(40, 7), saw(42, 7, 3), saw(44, 7, 3, 7)}},
		{"one came between what was seen before", false, []Op{
			saw(40, 7, 3), write(60, 61, 1, 8, "end"), read(70, 71, data(7)+data(5)+data(3)+"end"),
		}},
		{"some in a life of the file that nobody read", true, []Op{
			saw(40, 7, 3), deleted(42), write(44, 45, 1, 20, "end"), deleted(46), saw(48, 9, 2), write(60, 61, 1, 8, "end"),
		}},
		{"more than there are, in a life that nobody read", false, []Op{
			saw(40, 7, 3), deleted(42), write(44, 45, 1, 4*(calls-1), "end"), deleted(46), write(60, 61, 1, 0, "end"),
		}},
		{"half of one, in a life that nobody read", false, []Op{
			saw(40, 7, 3), deleted(42), write(44, 45, 1, 22, "end"), deleted(46), write(60, 61, 1, 0, "end"),
		}},
		{"one again, in the next life", false, []Op{
			saw(40, 7, 3), deleted(42), saw(44, 9, 7), write(60, 61, 1, 8, "end"),
		}},
		{"a file that somebody must have made", true, []Op{deleted(40), deleted(42), deleted(44), write(60, 61, 1, 0, "end")}},
	} {
		h := History{Holds: []Hold{until(1, 100)}, Ops: []Op{grant(0, 10, 1)}}
		for i := range calls {
			h.Ops = append(h.Ops, write(int64(11+i), Never, 1, 0, data(i)))
		}
		h.Ops = append(h.Ops, c.then...)
		v := Check(h, Steps/100)
		if (v.Wrong == "") != c.right || strings.HasPrefix(v.Wrong, "undecided") {
			t.Errorf("%s, after %d steps: %.200q", c.name, v.Steps, v.Wrong)
		}
		t.Logf("%s: %d steps", c.name, v.Steps)
	}
}
