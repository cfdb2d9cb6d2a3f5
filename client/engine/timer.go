package engine

import "time"

// expirer is told when one of its timers is due. The timer is no longer armed by then.
type expirer interface {
	expire(e *Engine, now time.Duration, t *timer)
}

// timer lies in the thing that it belongs to. It is armed or not; arming it again moves it.
type timer struct {
	at    time.Duration
	order uint64
	pos   int // 1 + place in the heap; 0 = not armed
	owner expirer
}

func (t *timer) armed() bool { return t.pos > 0 }

// timers is a heap of the armed timers, in order of (at, order of arming): firing is deterministic.
type timers struct {
	heap  []*timer
	order uint64
}

func (ts *timers) arm(t *timer, owner expirer, at time.Duration) {
	ts.order++
	t.at, t.order, t.owner = at, ts.order, owner
	if t.pos == 0 {
		ts.heap = append(ts.heap, t)
		t.pos = len(ts.heap)
	}
	ts.fix(t.pos - 1)
}

func (ts *timers) disarm(t *timer) {
	if t.pos == 0 {
		return
	}
	i, last := t.pos-1, len(ts.heap)-1
	ts.swap(i, last)
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	t.pos = 0
	if i < last {
		ts.fix(i)
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
	t := ts.heap[0]
	ts.disarm(t)
	return t
}

func (ts *timers) less(i, j int) bool {
	a, b := ts.heap[i], ts.heap[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (ts *timers) swap(i, j int) {
	ts.heap[i], ts.heap[j] = ts.heap[j], ts.heap[i]
	ts.heap[i].pos, ts.heap[j].pos = i+1, j+1
}

func (ts *timers) fix(i int) {
	for i > 0 && ts.less(i, (i-1)/2) {
		ts.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		c := 2*i + 1
		if c+1 < len(ts.heap) && ts.less(c+1, c) {
			c++
		}
		if c >= len(ts.heap) || !ts.less(c, i) {
			return
		}
		ts.swap(i, c)
		i = c
	}
}
