package simdisk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// Damage shows at once or at the next power cut, goes when it is written over, and can be undone.
func TestDamage(t *testing.T) {
	good := bytes.Repeat([]byte{7}, 1024)
	for _, cached := range []bool{true, false} {
		d := New(rand.NewPCG(1, 0))
		f := create(t, d, "a")
		write(t, f, 0, good)
		if _, err := d.Damage("a", 0, []byte{1}, cached); err == nil {
			t.Fatal("damage to what is not synced")
		}
		if err := errors.Join(f.Sync(), d.FS().SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		g, err := d.Damage("a", 509, []byte{7, 7, 9, 9, 7}, cached)
		if err != nil {
			t.Fatal(err)
		}
		if g.Offset != 511 || g.Last() != 512 || !g.Live() || g.Seen() != cached || g.Name(d) != "a" {
			t.Fatalf("cached %v: %+v, last %d, live %v, seen %v, name %q", cached, g, g.Last(), g.Live(), g.Seen(), g.Name(d))
		}
		if _, err := d.Damage("a", 512, []byte{3}, cached); err == nil {
			t.Fatal("damage on damage")
		}
		d.PowerCut()
		if got := content(t, d, "a"); !g.Seen() || got[510] != 7 || got[511] != 9 || got[512] != 9 || got[513] != 7 {
			t.Fatalf("cached %v: %v", cached, got[508:516])
		}
		if f, err = d.FS().Open("a"); err != nil {
			t.Fatal(err)
		}
		write(t, f, 512, []byte{5}) // heals one of the two
		g.Undo()
		if got := content(t, d, "a"); g.Live() || g.Seen() || got[511] != 7 || got[512] != 5 {
			t.Fatalf("cached %v: %v", cached, got[508:516])
		}
	}
}

// Damage that the cache hides is healed when the cache is written back.
func TestHiddenDamageIsWrittenOver(t *testing.T) {
	d := New(rand.NewPCG(1, 0))
	f := create(t, d, "a")
	write(t, f, 0, make([]byte, 512))
	if err := errors.Join(f.Sync(), d.FS().SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	g, err := d.Damage("a", 0, []byte{1}, false)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, 100, []byte{2}) // the same sector
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	d.PowerCut()
	if got := content(t, d, "a"); g.Live() || got[0] != 0 || got[100] != 2 {
		t.Fatal(g.Live(), got[0], got[100])
	}
}

// A user that reads damage and writes it again, in place or into a file that takes the name, has made a copy of it.
func TestCopiedDamage(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		d := New(rand.NewPCG(1, 0))
		f := create(t, d, "a")
		write(t, f, 0, []byte{1, 2, 3, 4, 5, 6, 7, 8})
		if err := errors.Join(f.Sync(), d.FS().SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		g, err := d.Damage("a", 2, []byte{3, 9, 5}, true)
		if err != nil {
			t.Fatal(err)
		}
		if fresh {
			f = create(t, d, "b")
			write(t, f, 0, []byte{1, 2, 3, 9, 5, 6, 7, 8})
			err = d.FS().Rename("b", "a")
		} else {
			write(t, f, 2, []byte{3, 9})
		}
		if err != nil || g.Seen() == !fresh {
			t.Fatalf("fresh %v: %v, seen %v", fresh, err, g.Seen())
		}
		for _, none := range [][2]int64{{0, 3}, {4, 8}} { // is not damaged
			if d.Copied(g, none[0], none[1]) != nil {
				t.Errorf("fresh %v: a copy of %v", fresh, none)
			}
		}
		write(t, f, 3, []byte{8})
		if d.Copied(g, 0, 4) != nil {
			t.Errorf("fresh %v: other damage is taken for a copy", fresh)
		}
		write(t, f, 3, []byte{9})
		c := d.Copied(g, 0, 4)
		if c == nil || c.Name(d) != "a" || c.Offset != 3 || !c.Seen() || d.Copied(g, 0, 4) != nil {
			t.Fatalf("fresh %v: the copy is %+v", fresh, c)
		}
		c.Undo()
		if got := content(t, d, "a"); got[3] != 4 {
			t.Fatalf("fresh %v: repaired to %v", fresh, got)
		}
		write(t, f, 3, []byte{9})
		if d.Copied(c, 0, 4) != nil || d.Copied(g, 0, 4) != nil {
			t.Errorf("fresh %v: what comes back after a repair is taken for a copy", fresh)
		}
	}
}
