package sim

import "testing"

// libraries answers for each claim what the test says.
func libraries(claims ...*claim) (*complaints, *leaseChecker, map[*claim]bool) {
	c, yes, excused := &complaints{}, map[*claim]bool{}, map[*claim]bool{}
	l := &leaseChecker{
		w:       c,
		held:    func(k *claim) bool { return yes[k] },
		excused: func(k *claim) bool { return excused[k] },
		late:    func(k *claim) bool { return false },
	}
	for _, k := range claims {
		yes[k] = true
		l.add(k)
	}
	return c, l, yes
}

func TestLeaseChecker(t *testing.T) {
	for _, c := range []struct {
		name  string
		a, b  claim
		wrong bool
	}{
		{"two exclusive", claim{lock: "a", token: 1}, claim{client: 1, lock: "a", token: 2}, true},
		{"shared and exclusive", claim{lock: "a", token: 1, shared: true}, claim{client: 1, lock: "a", token: 2}, true},
		{"both shared", claim{lock: "a", token: 1, shared: true}, claim{client: 1, lock: "a", token: 2, shared: true}, false},
		{"two locks", claim{lock: "a", token: 1}, claim{client: 1, lock: "b", token: 2}, false},
		{"one session's, before and after a takeover", claim{lock: "a", token: 1}, claim{client: 1, lock: "a", token: 1}, false},
	} {
		// Told at once: what is only true inside an event is seen too.
		got, _, _ := libraries(&c.a, &c.b)
		if got.first("G2") != c.wrong {
			t.Errorf("%s: complains %q", c.name, got.got)
		}
	}
}

func TestLeaseCheckerLooksAgain(t *testing.T) {
	a, b := &claim{lock: "a", token: 1}, &claim{client: 1, lock: "a", token: 2}
	c, l, yes := libraries(a)
	yes[a] = false
	l.check()
	yes[b] = true
	l.add(b)
	if len(c.got) > 0 {
		t.Fatalf("complains %q of one holder after the other", c.got)
	}
	yes[b], yes[a] = false, true
	l.check()
	if !c.first("G2") {
		t.Errorf("a hold that comes back after it had lapsed: complains %q, want G2", c.got)
	}
}

// An operator's risk is excused for as long as it lasts, and no longer.
func TestLeaseCheckerExcuses(t *testing.T) {
	c := &complaints{}
	log := testLog(c)
	for i, e := range []entry{
		at(1, opening(1), opening(2), opening(3)), at(2, ask(1, 1, acquire("a"), token(10))), at(3, takingOver(1, 1, withHold(10))),
	} {
		log.enter(uint64(i+1), e)
	}
	former, second := &claim{session: 1, instance: 1, token: 10}, &claim{session: 1, instance: 2, token: 10}
	if got := log.takenUntil(former); got != 1002 {
		t.Errorf("a taken-over session's former instance is excused until %d, its lease was until 1002", got)
	}
	if got := log.takenUntil(second); got != 0 {
		t.Errorf("the present instance is excused until %d", got)
	}
}

// What was revoked at once is excused until the lease as of the revoke ends, whether there is a next holder or not.
func TestLeaseCheckerEndsTheExcuseOfRevokeNow(t *testing.T) {
	c := &complaints{}
	late := false
	l := &leaseChecker{
		w: c, held: func(*claim) bool { return true }, excused: func(*claim) bool { return true },
		late: func(k *claim) bool { return late },
	}
	l.add(&claim{lock: "a", token: 1})
	if len(c.got) > 0 {
		t.Fatalf("complains %q of one holder", c.got)
	}
	late = true
	l.check()
	if !c.first("G2") {
		t.Errorf("a library that was never told: complains %q, want G2", c.got)
	}
}
