package core

import "iter"

// list is a doubly linked list whose links lie in its items: whatever core visits, it visits in a list's order, never in
// a map's.
type list[T any] struct {
	first, last *node[T]
	n           int
}

// node is an item's link in one list. owner is the item; nil while it is in no list.
type node[T any] struct {
	prev, next *node[T]
	owner      *T
}

// push appends the item at the end.
func (l *list[T]) push(at *node[T], item *T) {
	*at = node[T]{prev: l.last, owner: item}
	if l.last == nil {
		l.first = at
	} else {
		l.last.next = at
	}
	l.last = at
	l.n++
}

func (l *list[T]) remove(at *node[T]) {
	if at.prev == nil {
		l.first = at.next
	} else {
		at.prev.next = at.next
	}
	if at.next == nil {
		l.last = at.prev
	} else {
		at.next.prev = at.prev
	}
	*at = node[T]{}
	l.n--
}

// head is the first item, or nil.
func (l *list[T]) head() *T {
	if l.first == nil {
		return nil
	}
	return l.first.owner
}

// all visits the items in order. The visitor may remove the item it is given, and no other.
func (l *list[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for at := l.first; at != nil; {
			next := at.next
			if !yield(at.owner) {
				return
			}
			at = next
		}
	}
}

// pool keeps records that are no longer in use for the next one that is needed, so that the table does without the
// allocator once it has found its size.
type pool[T any] struct{ spare []*T }

const spareMost = 4096

func (p *pool[T]) get() *T {
	n := len(p.spare)
	if n == 0 {
		return new(T)
	}
	x := p.spare[n-1]
	p.spare = p.spare[:n-1]
	return x
}

// put takes a record back. Nothing may refer to it any more.
func (p *pool[T]) put(x *T) {
	if len(p.spare) < spareMost {
		*x = *new(T)
		p.spare = append(p.spare, x)
	}
}
