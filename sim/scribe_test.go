package sim

import (
	"slices"
	"testing"
)

// What a failure's text names is found, and nothing else.
func TestMentions(t *testing.T) {
	for text, want := range map[string][]mention{
		`position 12: "lock-1" is granted under token 7 while token 5 holds it`: {
			{word: "position", number: 12}, {word: `"`, text: "lock-1"}, {word: "token", number: 7}, {word: "token", number: 5},
		},
		`client 2 says that it holds "lock-0" under token 1003, and so does client 1 under token 1002`: {
			{word: "client", number: 2},
			{word: `"`, text: "lock-0"},
			{word: "token", number: 1003},
			{word: "client", number: 1},
			{word: "token", number: 1002},
		},
		`an append under ("a b", token 3) of session 4 is accepted`: {{word: "token", number: 3}, {word: "session", number: 4}},
		`two answers to (3, 14): x`:                                 {{word: "(", number: 3, second: 14}},
		`a call ends 3 ms after its deadline`:                       nil,
	} {
		if got := mentions(text); !slices.Equal(got, want) {
			t.Errorf("%s\n got %v\nwant %v", text, got, want)
		}
	}
}

// A broken promise comes with what it is about, and the last events that matter are those that have to do with it.
func TestViolationNamesItsEvents(t *testing.T) {
	rec := NewRecorder()
	w := New(Expand(7), rec)
	for _, e := range []Event{
		{Kind: KindGrant, Locks: []string{"a"}, Sessions: []uint64{1}, Tokens: []uint64{5}, Client: 1},
		{Kind: KindGrant, Locks: []string{"b"}, Sessions: []uint64{2}, Tokens: []uint64{6}, Client: 1},
		{Kind: KindCall, Locks: []string{"b"}, Client: 1},
		{Kind: KindFault, Client: -1},
		{Kind: KindCall, Locks: []string{"a"}, Client: 1},
	} {
		id := w.scribe.add(e)
		if e.Kind == KindGrant {
			w.scribe.grants[e.Tokens[0]] = id
		}
	}
	w.fail("G1", "%q is granted under token %d", "a", 5)
	v := rec.Violation()
	if v == nil || v.What != "G1" || !slices.Equal(v.Causes, []uint64{1}) || !slices.Equal(v.Locks, []string{"a"}) || !slices.Equal(v.Tokens, []uint64{5}) {
		t.Fatalf("%+v", v)
	}
	var ids []uint64
	for _, e := range rec.LastThatMatter(10) {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []uint64{1, 4, 5, 6}) {
		t.Fatalf("events %v matter, want 1 4 5 6", ids)
	}
	if last := rec.LastThatMatter(2); len(last) != 2 || last[1].ID != 6 {
		t.Fatalf("the last two are %v", last)
	}
}

// A full recorder forgets the oldest events and keeps their numbers.
func TestRecorderIsBounded(t *testing.T) {
	rec := NewRecorder()
	rec.most = 100
	for range 1000 {
		rec.Add(Event{Kind: KindNote})
	}
	if n := len(rec.Events()); n > 100 || n < 50 {
		t.Fatalf("%d events are kept", n)
	}
	if rec.Event(1) != nil || rec.Event(1001) != nil || rec.Event(1000).ID != 1000 || rec.Events()[0].ID != rec.Event(rec.Events()[0].ID).ID {
		t.Fatal("events are not found by their numbers")
	}
}
