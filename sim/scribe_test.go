package sim

import (
	"slices"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
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

// What a trace says of hold limits, deadlines, holds and checks.
func TestWords(t *testing.T) {
	renew := func(limit uint64) *dlmv1.Request {
		return &dlmv1.Request{Session: 3, Sequence: 9, Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: "a", Token: 7, HoldLimitNanos: limit}}}
	}
	check := &dlmv1.Read{Op: &dlmv1.Read_CheckToken{CheckToken: &dlmv1.CheckToken{Lock: "a", Token: 7}}}
	const ms = 1_000_000
	for _, c := range []struct{ got, want string }{
		{say(renew(1500 * ms)), "renew a, token 7, hold limit 1.5s (session 3 #9)"},
		{say(renew(0)), "renew a, token 7, the acquire's hold limit (session 3 #9)"},
		{resultText(&dlmv1.Answer{Index: 5, Token: 7, HoldDeadline: 2500 * ms}), "OK, token 7, until stamp 2.500000"},
		{resultText(&dlmv1.Answer{Index: 5, Token: 7}), "OK, token 7"},
		{
			resultText(&dlmv1.Answer{Index: 5, Holds: []*dlmv1.Hold{
				{Lock: "a", Token: 7, Mode: dlmv1.Mode_MODE_SHARED, HoldDeadline: 2500 * ms},
				{Lock: "b", Token: 8, Mode: dlmv1.Mode_MODE_EXCLUSIVE},
			}}),
			"OK, holds a shared (token 7, until stamp 2.500000), holds b exclusive (token 8)",
		},
		{readText(check, &dlmv1.ReadAnswer{Index: 5, Current: true}), "token 7 is current, at position 5"},
		{readText(check, &dlmv1.ReadAnswer{Index: 5}), "token 7 is not current, at position 5"},
		{readText(check, &dlmv1.ReadAnswer{Reason: dlmv1.Reason_REASON_OVERLOADED}), "overloaded"},
		{readText(nil, &dlmv1.ReadAnswer{Index: 5}), "OK, at position 5"},
	} {
		if c.got != c.want {
			t.Errorf("said: %s\nwant: %s", c.got, c.want)
		}
	}
}
