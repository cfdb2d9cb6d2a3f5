package linear

import (
	"strings"
	"testing"

	. "dlm/sim/history"
)

// Recorded histories, small ones by hand. Times are small numbers; holds end when the table says, at the earliest.

func grant(call, ret int64, token uint64) Op {
	return Op{Kind: Grant, Call: call, Return: ret, Lock: "a", Token: token}
}

func under(kind Kind, call, ret int64, token uint64) Op {
	return Op{Kind: kind, Call: call, Return: ret, Lock: "a", Token: token}
}

func write(call, ret int64, token uint64, at uint64, data string) Op {
	return Op{Kind: Append, Call: call, Return: ret, Lock: "a", Token: token, File: "f", Offset: at, Data: []byte(data)}
}

func read(call, ret int64, data string) Op {
	return Op{Kind: ReadFile, Call: call, Return: ret, File: "f", Length: uint64(len(data)), Data: []byte(data)}
}

func view(call, ret int64, tokens ...uint64) Op {
	op := Op{Kind: View, Call: call, Return: ret, Lock: "a"}
	for _, t := range tokens {
		op.Holders = append(op.Holders, Holder{Token: t})
	}
	return op
}

func revoked(op Op) Op {
	for i := range op.Holders {
		op.Holders[i].Revoked = true
	}
	op.Revoked = true
	return op
}

// until is a hold that may end from then on.
func until(token uint64, ends int64) Hold {
	return Hold{Token: token, Lock: "a", Ends: ends, RevokeFrom: Never}
}

func both(h Hold, shared bool) Hold { h.Shared = shared; return h }

func TestCheck(t *testing.T) {
	shared := func(op Op) Op { op.Shared = true; return op }
	for _, c := range []struct {
		name  string
		right bool
		holds []Hold
		ops   []Op
	}{
		{"one after the other", true, []Hold{until(1, 20), until(2, 40)}, []Op{
			grant(0, 10, 1), under(Release, 20, 30, 1), grant(5, 40, 2), view(41, 42, 2),
		}},
		{"two at once", false, []Hold{until(1, 100), until(2, 100)}, []Op{grant(0, 10, 1), grant(20, 30, 2)}},
		{"two at once, shared", true, []Hold{both(until(1, 100), true), both(until(2, 100), true)}, []Op{shared(grant(0, 10, 1)), shared(grant(20, 30, 2))}},
		{"the second while the first is still used", false, []Hold{until(1, 5), until(2, 100)}, []Op{
			grant(0, 10, 1), grant(20, 30, 2), under(Current, 40, 50, 1),
		}},
		{"a lease that may be over in time", true, []Hold{until(1, 25), until(2, 100)}, []Op{grant(0, 10, 1), grant(20, 30, 2)}},
		{"tokens that go back", false, []Hold{until(1, 0), until(2, 0)}, []Op{grant(0, 10, 2), grant(20, 30, 1)}},
		{"a read of what was", false, []Hold{until(1, 20)}, []Op{grant(0, 10, 1), under(Release, 20, 30, 1), view(40, 50, 1)}},
		{"a read beside the release", true, []Hold{until(1, 20)}, []Op{grant(0, 10, 1), under(Release, 20, 30, 1), view(25, 50, 1)}},
		{"a read that does not see the holder", false, []Hold{until(1, 100)}, []Op{grant(0, 10, 1), view(40, 50)}},
		{"two reads in the wrong order", false, []Hold{until(1, 20)}, []Op{
			grant(0, 10, 1), under(Release, 20, 60, 1), view(30, 35), view(40, 50, 1),
		}},
		{"a holder that nobody was granted", false, nil, []Op{view(0, 10, 7)}},
		{"a good token that is refused", false, []Hold{until(1, 100)}, []Op{grant(0, 10, 1), under(Refused, 20, 30, 1)}},
		{"a revoked token that is refused, and still there", true, []Hold{{Token: 1, Lock: "a", Ends: 15, RevokeFrom: 15}}, []Op{
			grant(0, 10, 1), revoked(under(Refused, 20, 30, 1)), revoked(view(40, 50, 1)),
		}},
		{"a revoked token that works again", false, []Hold{{Token: 1, Lock: "a", Ends: 15, RevokeFrom: 15}}, []Op{
			grant(0, 10, 1), revoked(view(20, 30, 1)), under(Current, 40, 50, 1),
		}},
		{"refused as revoked, and nobody asked for that", false, []Hold{until(1, 100)}, []Op{grant(0, 10, 1), revoked(under(Refused, 20, 30, 1))}},
		{"refused as gone, and there as revoked", false, []Hold{{Token: 1, Lock: "a", Ends: 15, RevokeFrom: 15}}, []Op{
			grant(0, 10, 1), revoked(view(20, 30, 1)), under(Refused, 32, 34, 1), revoked(view(40, 50, 1)),
		}},
		{"refused before it was granted", false, []Hold{until(1, 100)}, []Op{under(Refused, 0, 5, 1), grant(10, 20, 1)}},
		{"appends", true, []Hold{until(1, 100)}, []Op{
			grant(0, 10, 1), write(11, 12, 1, 0, "ab"), write(13, 14, 1, 2, "c"), read(15, 16, "abc"),
		}},
		{"a lost append", false, []Hold{until(1, 100)}, []Op{grant(0, 10, 1), write(11, 12, 1, 0, "ab"), write(13, 14, 1, 0, "c")}},
		{"an append twice", false, []Hold{until(1, 100)}, []Op{grant(0, 10, 1), write(11, 12, 1, 0, "ab"), read(15, 16, "abab")}},
		{"other bytes", false, []Hold{until(1, 100)}, []Op{grant(0, 10, 1), write(11, 12, 1, 0, "ab"), read(15, 16, "aX")}},
		{"an append without an answer that took place", true, []Hold{until(1, 100)}, []Op{
			grant(0, 10, 1), write(11, Never, 1, 0, "ab"), write(13, 14, 1, 2, "c"), read(15, 16, "abc"),
		}},
		{"an append without an answer that did not", true, []Hold{until(1, 20), until(2, 100)}, []Op{
			grant(0, 10, 1), write(11, Never, 1, 0, "ab"), grant(5, 30, 2), write(31, 32, 2, 0, "c"), read(35, 36, "c"),
		}},
		{"an append without an answer after the next holder's", false, []Hold{until(1, 20), until(2, 100)}, []Op{
			grant(0, 10, 1), write(11, Never, 1, 0, "ab"), grant(5, 30, 2), write(31, 32, 2, 0, "c"), read(35, 36, "cab"),
		}},
		{"an append under a shared hold", false, []Hold{both(until(1, 100), true)}, []Op{shared(grant(0, 10, 1)), write(11, 12, 1, 0, "ab")}},
		{"a deleted file", true, []Hold{until(1, 100)}, []Op{
			grant(0, 10, 1), write(11, 12, 1, 0, "ab"),
			{Kind: Delete, Call: 13, Return: 14, Lock: "a", Token: 1, File: "f"},
			{Kind: NoFile, Call: 15, Return: 16, File: "f"},
			write(17, 18, 1, 0, "c"), read(19, 20, "c"),
		}},
		{"a file that is gone and was not deleted", false, []Hold{until(1, 100)}, []Op{
			grant(0, 10, 1), write(11, 12, 1, 0, "ab"), {Kind: NoFile, Call: 15, Return: 16, File: "f"},
		}},
	} {
		v := Check(History{Ops: c.ops, Holds: c.holds}, 0)
		if (v.Wrong == "") != c.right {
			t.Errorf("%s: %q", c.name, v.Wrong)
		}
	}
}

// A part that takes too many steps is undecided, and that is a failure.
func TestCheckIsBounded(t *testing.T) {
	h := History{Holds: []Hold{until(1, 100)}, Ops: []Op{grant(0, 10, 1), write(11, 12, 1, 0, "ab"), read(15, 16, "ab")}}
	if v := Check(h, 3); v.Wrong != "" || v.Steps != 3 || v.Ops != 3 {
		t.Errorf("three operations one after the other take %d steps: %q", v.Steps, v.Wrong)
	}
	if v := Check(h, 2); !strings.HasPrefix(v.Wrong, "undecided") {
		t.Errorf("with two steps for three operations it says %q", v.Wrong)
	}
}

// Locks that nothing joins are checked apart.
func TestCheckLooksAtEveryPart(t *testing.T) {
	other := Op{Kind: View, Call: 0, Return: 10, Lock: "b", Holders: []Holder{{Token: 9}}}
	if v := Check(History{Holds: []Hold{until(1, 100)}, Ops: []Op{grant(0, 10, 1), other}}, 0); v.Wrong == "" {
		t.Error("the second lock was not looked at")
	}
}
