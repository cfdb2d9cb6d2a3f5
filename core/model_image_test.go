package core_test

import (
	"slices"

	"dlm/core"
)

// imageRun takes images of a core, a few records between two entries, and wants each to be the state as it was when the image
// was begun.
type imageRun struct {
	of    *core.Image
	hash  uint64
	last  []byte // part: entries must leave it alone until the next one is asked for
	parts []byte
	live  []uint64
}

// image encodes up to n records. With none it goes on later.
func (r *run) image(n int) {
	at := &r.taken
	if at.of == nil {
		at.of, at.hash, at.last, at.parts, at.live = r.core.BeginImage(), r.core.Hash(), nil, nil, nil
		r.core.EachFile(func(f core.FileRecord) { at.live = append(at.live, f.ID) })
		if r.core.BeginImage() != nil {
			r.t.Fatal("two images are taken at once")
		}
	}
	for ; n > 0; n-- {
		at.parts = append(at.parts, at.last...)
		part, done := at.of.Next(1)
		at.last = part
		if done {
			at.parts = append(at.parts, part...)
			r.imageDone()
			return
		}
	}
}

func (r *run) imageDone() {
	at := &r.taken
	restored, err := core.Restore(at.parts)
	if err != nil {
		r.t.Fatalf("Restore of the image of entry %d: %v", at.of.Index(), err)
	}
	if restored.Hash() != at.hash {
		r.t.Fatalf("the image of entry %d is another state", at.of.Index())
	}
	if len(at.of.Files()) != len(at.live) || slices.ContainsFunc(at.live, func(id uint64) bool { return !at.of.Files()[id] }) {
		r.t.Fatalf("the image of entry %d has the files %v, want %v", at.of.Index(), at.of.Files(), at.live)
	}
	at.of = nil
}
