package sim

import (
	"slices"
	"time"
)

// recorderMost bounds the events that a Recorder keeps; past it the oldest go.
const recorderMost = 400_000

// Recorder keeps what happens in one run. To attach one changes nothing in the run: its hash stays the same.
type Recorder struct {
	events []Event // consecutive IDs
	last   uint64  // ID
	most   int
}

// NewRecorder is empty.
func NewRecorder() *Recorder { return &Recorder{most: recorderMost} }

// Events are those kept, in the order in which they happened. Not to be changed.
func (r *Recorder) Events() []Event { return r.events }

// Last is the time of the newest event.
func (r *Recorder) Last() time.Duration {
	if len(r.events) == 0 {
		return 0
	}
	return r.events[len(r.events)-1].At
}

// Event finds one by its ID; nil = it is not kept.
func (r *Recorder) Event(id uint64) *Event {
	if first := r.last - uint64(len(r.events)); id > first && id <= r.last {
		return &r.events[id-first-1]
	}
	return nil
}

// Add records one more event and returns its ID.
func (r *Recorder) Add(e Event) uint64 {
	if len(r.events) >= r.most {
		r.events = slices.Clone(r.events[r.most/4:])
	}
	r.last++
	e.ID = r.last
	e.Causes = r.causes(e.Causes)
	r.events = append(r.events, e)
	return e.ID
}

// causes leaves out what is not known, and what is said twice.
func (r *Recorder) causes(ids []uint64) []uint64 {
	var known []uint64
	for _, id := range ids {
		if id != 0 && !slices.Contains(known, id) {
			known = append(known, id)
		}
	}
	return known
}

// Fail records a failure that the world itself could not record, such as a panic.
func (r *Recorder) Fail(f *Failure) {
	if r.Violation() == nil {
		r.Add(Event{At: f.At, Kind: KindViolation, What: f.Number, Client: -1, Text: f.Number + " broken: " + f.Text, Causes: []uint64{r.last}})
	}
}

// Violation is the first broken promise; nil = there was none.
func (r *Recorder) Violation() *Event {
	for i := range r.events {
		if r.events[i].Kind == KindViolation {
			return &r.events[i]
		}
	}
	return nil
}

// Ancestors are the IDs of everything that led to an event, itself included, up to so many: the nearest first.
func (r *Recorder) Ancestors(id uint64, most int) []uint64 {
	seen := map[uint64]bool{id: true}
	found := []uint64{id}
	for i := 0; i < len(found) && len(found) < most; i++ {
		e := r.Event(found[i])
		if e == nil {
			continue
		}
		for _, c := range e.Causes {
			if !seen[c] {
				seen[c] = true
				found = append(found, c)
			}
		}
	}
	return found
}

// LastThatMatter are up to n events before the broken promise that have to do with it: what led to it, what touches its
// locks, the sessions that held or asked for them, and what befell machines meanwhile. Without a broken promise they are
// the last n.
func (r *Recorder) LastThatMatter(n int) []Event {
	v := r.Violation()
	if v == nil {
		return r.events[max(0, len(r.events)-n):]
	}
	led := map[uint64]bool{}
	for _, id := range r.Ancestors(v.ID, 4*n) {
		led[id] = true
	}
	if v.What == "G5" {
		r.beforeCrashes(v.ID, led)
	}
	var all []Event
	for i := len(r.events) - 1; i >= 0 && len(all) < n; i-- {
		if e := &r.events[i]; e.ID <= v.ID && (led[e.ID] || e.concerns(v)) {
			all = append(all, *e)
		}
	}
	slices.Reverse(all)
	return all
}

// beforeCrashes marks what was done with the data files just before the server went down: that may be half done on the disk.
func (r *Recorder) beforeCrashes(end uint64, marked map[uint64]bool) {
	const crashes, events = 3, 6
	for i, down, left := len(r.events)-1, 0, 0; i >= 0 && down <= crashes; i-- {
		switch e := &r.events[i]; {
		case e.ID > end:
		case e.Kind == KindDown && e.Lane == serverLane:
			down, left = down+1, events
		case left > 0 && e.ofFiles():
			marked[e.ID] = true
			left--
		}
	}
}

// ofFiles says whether an event is about what happens to data files.
func (e *Event) ofFiles() bool {
	switch e.Kind {
	case KindFile, KindSyncDir, KindSnapshot:
		return true
	case KindDisk, KindDiskDone:
		return e.What == "files"
	}
	return false
}

// concerns says whether an event has to do with what another is about.
func (e *Event) concerns(v *Event) bool {
	switch e.Kind {
	case KindFault, KindUp, KindDown, KindHeal:
		return true
	case KindCut, KindMend:
		return v.Client < 0 || v.Client == e.Client
	case KindDisk, KindDiskDone, KindConnect, KindSegment, KindSnapshot, KindFile, KindSyncDir:
		return false
	}
	if len(v.Locks) > 0 && len(e.Locks) > 0 {
		return overlap(e.Locks, v.Locks)
	}
	return overlap(e.Tokens, v.Tokens) || overlap(e.Sessions, v.Sessions) && e.What != opKeepAlive
}

func overlap[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(x T) bool { return slices.Contains(b, x) })
}

// addTo adds what a list does not hold yet.
func addTo[T comparable](list *[]T, more ...T) {
	var zero T
	for _, x := range more {
		if x != zero && !slices.Contains(*list, x) {
			*list = append(*list, x)
		}
	}
}
