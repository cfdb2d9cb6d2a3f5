package core

import (
	"errors"
	"math"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
)

func TestRebornKeepsFilesAndEndsSessions(t *testing.T) {
	x := busy(t)
	before := x.c.Hash()
	data := x.c.Backup()
	if x.c.Hash() != before {
		t.Fatal("a backup has changed the state")
	}
	wall := uint64(1_800_000_000_000)
	c, err := Reborn(data, Rebirth{ClusterID: [16]byte{9}, WallMillis: wall})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	st := c.Read(&dlmv1.Read{Op: &dlmv1.Read_GetStatus{GetStatus: &dlmv1.GetStatus{}}}).GetStatus()
	if st.Sessions != 0 || st.Locks != 0 || st.Waiters != 0 || st.Files != 1 || c.ClusterID() != [16]byte{9} {
		t.Fatalf("got %v of cluster %x", st, c.ClusterID())
	}
	if _, due := c.NextDeadline(); due {
		t.Fatal("something is still due")
	}
	was, _ := x.c.File("f")
	if f, ok := c.File("f"); !ok || f != was || f.Length != 5 {
		t.Fatalf("the file is %+v, was %+v", f, was)
	}
	if c.LastToken() != FirstToken(wall)-1 || c.NextFileID() != x.c.NextFileID() || c.Now() != x.c.Now() || c.index != x.c.index+1 {
		t.Fatalf("token %d, file %d, time %d, index %d", c.LastToken(), c.NextFileID(), c.Now(), c.index)
	}
	for id := range x.c.sessions.byID {
		a := c.Apply(c.index+1, 0, []*dlmv1.Request{{Session: id, Instance: 1, Sequence: 50, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}}).Answers[0]
		if a.Reason != dlmv1.Reason_REASON_SESSION_ENDED {
			t.Fatalf("session %d is answered %v", id, a)
		}
	}
}

// TestRebornCounter: tokens and session ids go on above the backup's, the wall clock's and the floor.
func TestRebornCounter(t *testing.T) {
	x := newTable(t)
	s := x.open(1)
	token := x.do(s, exclusive("l")).Token
	for _, c := range []struct{ wall, floor, want uint64 }{
		{0, 0, token + 1},
		{0, 5000, 5000},
		{10, 5000, 10<<11 | 1},
		{10, 1 << 40, 1 << 40},
		{1 << 42, 7, 1<<53 | 1},
	} {
		r, err := Reborn(x.c.Backup(), Rebirth{ClusterID: [16]byte{1, 1}, WallMillis: c.wall, TokenFloor: c.floor})
		if err != nil {
			t.Fatal(err)
		}
		y := &table{t: t, c: r, index: r.index, seq: map[uint64]uint64{}, inst: map[uint64]uint64{}}
		session := y.open(2)
		got := y.do(session, exclusive("l")).Token
		if got != c.want || session < max(s+1, c.want) {
			t.Errorf("wall %d, floor %d: token %d and session %d, want %d", c.wall, c.floor, got, session, c.want)
		}
	}
}

func TestRebornNeedsAnIDOfItsOwn(t *testing.T) {
	x := newTable(t)
	if _, err := Reborn(x.c.Backup(), Rebirth{ClusterID: x.c.ClusterID()}); !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
	if FirstToken(math.MaxUint64) == 0 || FirstToken(0) == 0 {
		t.Fatal("a first token is 0")
	}
}
