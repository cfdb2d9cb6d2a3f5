package sim

import (
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// The checks of what lies on the disk, of snapshots, and of how the end of a run comes to rest.

func TestAckedAppendsAreLookedFor(t *testing.T) {
	x := func(token, offset uint64, data string) ackedAppend {
		return ackedAppend{file: "f", token: token, offset: offset, index: 5, data: []byte(data)}
	}
	for _, c := range []struct {
		name, number, disk string
		list               []ackedAppend
	}{
		{"all there", "", "aabbb", []ackedAppend{x(7, 0, "aa"), x(8, 2, "bbb")}},
		{"an unacknowledged one between", "", "aa?bbb", []ackedAppend{x(7, 0, "aa"), x(8, 3, "bbb")}},
		{"one of a former life", "", "b", []ackedAppend{{file: "f", token: 3, index: 1, data: []byte("aaa")}, x(8, 0, "b")}},
		{"other bytes", "G5", "aabXb", []ackedAppend{x(7, 0, "aa"), x(8, 2, "bbb")}},
		{"a lost end", "G5", "aabb", []ackedAppend{x(7, 0, "aa"), x(8, 2, "bbb")}},
		{"two at one place", "G4", "aa", []ackedAppend{x(7, 0, "aa"), x(8, 1, "a")}},
		{"an old token after a new one", "G3", "aabbb", []ackedAppend{x(8, 0, "aa"), x(7, 2, "bbb")}},
	} {
		w := &complaints{}
		(&ackedAppends{c.list}).check(w, "f", 2, []byte(c.disk))
		if c.number == "" && len(w.got) > 0 || c.number != "" && !w.first(c.number) {
			t.Errorf("%s: complains %q, want %q", c.name, w.got, c.number)
		}
	}
}

func TestTwinChecker(t *testing.T) {
	limits := core.DefaultLimits()
	limits.MinTtlNanos = 1
	cfg := core.Config{Limits: limits}
	// run applies entries to a server and to the checker; spoil may change what the server says or is.
	run := func(spoil func(index uint64, hash *uint64, server **core.Core)) *complaints {
		w := &complaints{}
		checker, err := newTwinChecker(w, cfg)
		if err != nil {
			t.Fatal(err)
		}
		server, err := core.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(3 * twinEvery) {
			reqs := []*dlmv1.Request{opening(i).req}
			hash := hashEntry(i, reqs, server.Apply(i+1, i, reqs))
			spoil(i, &hash, &server)
			checker.entry(i+1, i, hash, reqs, server)
		}
		checker.entry(3*twinEvery, 0, 0, nil, server) // once more, as after a restart
		return w
	}
	if w := run(func(uint64, *uint64, **core.Core) {}); len(w.got) > 0 {
		t.Errorf("complains %q of a good server", w.got)
	}
	if w := run(func(i uint64, hash *uint64, _ **core.Core) { *hash += i / 30 }); !w.first("G5") {
		t.Errorf("complains %q of a server that answers something else, want G5", w.got)
	}
	if w := run(func(i uint64, _ *uint64, server **core.Core) {
		if i == 3*twinEvery-1 {
			*server, _ = core.New(cfg)
		}
	}); !w.first("G5") {
		t.Errorf("complains %q of a server whose state is another, want G5", w.got)
	}
}

// Two wait behind a holder with a TTL of 1000; a live holder needs 10.
func TestDrainWatch(t *testing.T) {
	w := &complaints{}
	l := testLog(w)
	for i, e := range []entry{
		at(1, opening(1), opening(2), opening(3)), at(2, ask(1, 1, acquire("a"), token(10))), at(3, queue(2, 1, acquire("a"))),
	} {
		l.enter(uint64(i+1), e)
	}
	l.drain.begin(l, 3, 10)
	l.enter(4, at(4, queue(3, 1, acquire("a"))))
	if got := l.locks[0].queue[0].bound; got != 3+1010 {
		t.Errorf("the first may wait until %d, want 1013", got)
	}
	if got := l.locks[0].queue[1].bound; got != 4+2*1010 {
		t.Errorf("the second may wait until %d, want 2024", got)
	}
	if !l.drain.overdue(l, 1013) || len(w.got) > 0 {
		t.Errorf("complains %q of waiters in time", w.got)
	}
	l.drain.overdue(l, 1014)
	if !w.first("L2") {
		t.Errorf("complains %q of one that waits too long, want L2", w.got)
	}
	w.got = nil
	l.trueNow = 1500 * time.Nanosecond
	l.other(told(2, 1, token(11)).answer)
	if !contains(w.got, "L2") {
		t.Errorf("complains %q of one that waited too long, want L2", w.got)
	}
}

func contains(got []string, number string) bool {
	c := &complaints{}
	for _, g := range got {
		c.got = []string{g}
		if c.first(number) {
			return true
		}
	}
	return false
}
