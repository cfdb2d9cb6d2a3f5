package rig

import (
	"strings"
	"testing"
)

// two makes a ledger of three appends to one file under two tokens: two acknowledged, the last one not.
func two(t *testing.T) (l *Ledger, a, b, c *Write) {
	t.Helper()
	l = NewLedger()
	a, b, c = l.Try("f", 5, "x", 40), l.Try("f", 7, "y", 60), l.Try("f", 7, "y", 0)
	a.Acked(0)
	b.Acked(uint64(len(a.Line)))
	return l, a, b, c
}

func TestLedgerAccepts(t *testing.T) {
	l, a, b, c := two(t)
	for _, content := range []string{a.Line + b.Line, a.Line + b.Line + c.Line} {
		tally, err := l.CheckFile("f", []byte(content))
		if err != nil || tally.Acked != 2 || tally.Unacked != 1 || tally.Bytes != len(content) {
			t.Errorf("%+v, %v", tally, err)
		}
	}
}

func TestLedgerRefuses(t *testing.T) {
	l, a, b, c := two(t)
	d := l.Try("f", 6, "z", 10) // under a token between the others'
	for _, x := range []struct{ name, content, says string }{
		{"nothing there", "", "is missing"},
		{"the last acknowledged one is missing", a.Line, "is missing"},
		{"the first one is missing", b.Line, "was acknowledged at offset"},
		{"an acknowledged one twice", a.Line + b.Line + b.Line, "a second time"},
		{"another one twice", a.Line + b.Line + c.Line + c.Line, "a second time"},
		{"the wrong order", b.Line + a.Line, "was acknowledged at offset"},
		{"a token that goes back", a.Line + b.Line + d.Line, "follows one under token 7"},
		{"bytes of nobody", a.Line + b.Line + "?\n", "nobody appended"},
		{"half of one", a.Line + b.Line + c.Line[:4], "nobody appended"},
		{"a flipped byte", a.Line + strings.Replace(b.Line, "y", "Y", 1), "nobody appended"},
	} {
		if _, err := l.CheckFile("f", []byte(x.content)); err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if _, err := l.CheckFile("g", nil); err == nil {
		t.Error("a file that nobody knows passes")
	}
}

func TestLedgerTokens(t *testing.T) {
	l := NewLedger()
	floor := l.Floor()
	if err := l.Granted("a", 10, floor); err != nil {
		t.Error(err)
	}
	if err := l.Granted("b", 9, floor); err != nil {
		t.Errorf("both were asked for before either was granted: %v", err)
	}
	if err := l.Granted("c", 10, floor); err == nil {
		t.Error("a token granted twice passes")
	}
	if err := l.Granted("c", 8, l.Floor()); err == nil {
		t.Error("a token that goes back passes")
	}
	if l.Grants() != 2 {
		t.Errorf("%d grants", l.Grants())
	}
}
