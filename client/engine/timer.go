package engine

import "time"

// expirer is told when one of its timers is due. The timer is no longer armed by then.
type expirer interface {
	expire(e *Engine, now time.Duration, t *timer)
}

// timer lies in the thing that it belongs to. It is armed or not; arming it again moves it.
type timer struct {
	pos   int // 1 + place in the heap; 0 = not armed
	owner expirer
}

func (t *timer) armed() bool { return t.pos > 0 }

// timers is a heap of the armed timers, in order of (at, order of arming): firing is deterministic.
type timers struct {
	heap  []alarm
	order uint64
}

// alarm is an armed timer. What the order hangs on lies in the heap itself: to look into each timer would cost more than all the rest.
type alarm struct {
	at    time.Duration
	order uint64
	timer *timer
}

func (ts *timers) arm(t *timer, owner expirer, at time.Duration) {
	ts.order++
	t.owner = owner
	if t.pos == 0 {
		ts.heap = append(ts.heap, alarm{})
		t.pos = len(ts.heap)
	}
	ts.fix(t.pos-1, alarm{at, ts.order, t})
}

func (ts *timers) disarm(t *timer) {
	if t.pos == 0 {
		return
	}
	i, last := t.pos-1, len(ts.heap)-1
	moved := ts.heap[last]
	ts.heap[last] = alarm{}
	ts.heap = ts.heap[:last]
	t.pos = 0
	if i < last {
		ts.fix(i, moved)
	}
}

func (ts *timers) next() (time.Duration, bool) {
	if len(ts.heap) == 0 {
		return 0, false
	}
	return ts.heap[0].at, true
}

// due takes out the first timer if it is due.
func (ts *timers) due(now time.Duration) *timer {
	if len(ts.heap) == 0 || ts.heap[0].at > now {
		return nil
	}
	t := ts.heap[0].timer
	ts.disarm(t)
	return t
}

func (a alarm) before(b alarm) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (ts *timers) put(i int, a alarm) {
	ts.heap[i] = a
	a.timer.pos = i + 1
}

// fix finds the place for an alarm, from a free one on.
func (ts *timers) fix(i int, a alarm) {
	for i > 0 && a.before(ts.heap[(i-1)/2]) {
		ts.put(i, ts.heap[(i-1)/2])
		i = (i - 1) / 2
	}
	for {
		c := 2*i + 1
		if c+1 < len(ts.heap) && ts.heap[c+1].before(ts.heap[c]) {
			c++
		}
		if c >= len(ts.heap) || !ts.heap[c].before(a) {
			break
		}
		ts.put(i, ts.heap[c])
		i = c
	}
	ts.put(i, a)
}
