package core

import (
	"bytes"
	"runtime"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
)

// What requests wait for is one slice: Next must encode no more records than it is asked for, and an entry no more than it
// changes, however large the table is. Counted, not timed.
func TestImageEncodesSlices(t *testing.T) {
	const locks, slice, changes = 20_000, 100, 7
	c := manyLocks(t, locks)
	image := c.BeginImage()
	want := c.Hash()
	left := func() int { return image.sessions.left + image.locks.left + image.files.left }
	var all []byte
	index, seq := c.index, uint64(locks)
	for steps, done := 0, false; !done; steps++ {
		before := left()
		var part []byte
		part, done = image.Next(slice)
		all = append(all, part...)
		if n := before - left(); n > slice || len(part) > imagePart+4 {
			t.Fatalf("step %d encoded %d records into %d bytes, at most %d are allowed", steps, n, len(part), slice)
		}
		before = left()
		var requests []*dlmv1.Request
		for i := range changes {
			name := string(c.locks.order.first.name)
			h := c.locks.order.first.holds.head()
			if i%2 == 0 { // the list's end, where the cursor comes last
				name, h = c.locks.order.last.name, c.locks.order.last.holds.head()
			}
			seq++
			requests = append(requests, &dlmv1.Request{
				Session: h.session.id, Instance: 1, Sequence: seq, Watermark: seq,
				Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: name, Token: h.token}},
			})
		}
		index++
		c.Apply(index, c.now+1, requests)
		if n := before - left(); n > 2*changes {
			t.Fatalf("entry %d encoded %d records, at most %d are allowed: a session and a lock for each request", index, n, 2*changes)
		}
		if steps > 2*locks/slice {
			t.Fatalf("not done after %d steps", steps)
		}
	}
	restored, err := Restore(all)
	if err != nil {
		t.Fatal(err)
	}
	if restored.Hash() != want {
		t.Fatal("the image is another state")
	}
}

// The collector runs the more often, the more garbage there is, and requests wait for it: an image must leave little.
func TestImageUsesItsRoomAgain(t *testing.T) {
	c := manyLocks(t, 100_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	bytes := 0
	for image, done := c.BeginImage(), false; !done; {
		var part []byte
		part, done = image.Next(512)
		bytes += len(part)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(bytes)/8 {
		t.Fatalf("an image of %d bytes took %d", bytes, got)
	} else {
		t.Logf("an image of %d bytes took %d", bytes, got)
	}
}

// An image that nothing disturbs is a snapshot, byte for byte.
func TestImageIsSnapshot(t *testing.T) {
	c := busy(t).c
	want := c.Snapshot()
	var all []byte
	for image, done := c.BeginImage(), false; !done; {
		var part []byte
		part, done = image.Next(1)
		all = append(all, part...)
	}
	if !bytes.Equal(all, want) {
		t.Fatal("the image has other bytes than the snapshot")
	}
	image := c.BeginImage()
	image.Next(1)
	image.Stop()
	if c.image != nil || c.BeginImage() == nil {
		t.Fatal("an image that was stopped is still taken")
	}
}

// New limits change every session's window.
func TestImageKeepsWindows(t *testing.T) {
	x := newTable(t)
	for i := range byte(3) {
		x.open(i + 1)
	}
	image, want := x.c.BeginImage(), x.c.Hash()
	x.want(x.do(1, &dlmv1.SetLimits{Limits: &dlmv1.Limits{Window: 2 * x.c.limits.Window}}), ok)
	part, done := image.Next(100)
	if restored, err := Restore(part); !done || err != nil || restored.Hash() != want {
		t.Fatalf("the image is another state, done %v: %v", done, err)
	}
}
