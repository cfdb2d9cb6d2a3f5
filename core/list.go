package core

import "iter"

// list is a doubly linked list whose links lie in its items: whatever core visits, it visits in a list's order, never in
// a map's. L says which of an item's links it goes by.
type list[T any, L linker[T]] struct {
	first, last *T
	n           int
}

// node is an item's link in one list.
type node[T any] struct{ prev, next *T }

// linker finds an item's link in a list. It has no size: a link that named its item, or a list that knew where in it the link
// lies, would cost eight bytes for each.
type linker[T any] interface{ of(item *T) *node[T] }

func (l *list[T, L]) link(item *T) *node[T] {
	var by L
	return by.of(item)
}

// push appends the item at the end.
func (l *list[T, L]) push(item *T) {
	*l.link(item) = node[T]{prev: l.last}
	if l.last == nil {
		l.first = item
	} else {
		l.link(l.last).next = item
	}
	l.last = item
	l.n++
}

func (l *list[T, L]) remove(item *T) {
	at := l.link(item)
	if at.prev == nil {
		l.first = at.next
	} else {
		l.link(at.prev).next = at.next
	}
	if at.next == nil {
		l.last = at.prev
	} else {
		l.link(at.next).prev = at.prev
	}
	*at = node[T]{}
	l.n--
}

// head is the first item, or nil.
func (l *list[T, L]) head() *T { return l.first }

// all visits the items in order. The visitor may remove the item it is given, and no other.
func (l *list[T, L]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for item := l.first; item != nil; {
			next := l.link(item).next
			if !yield(item) {
				return
			}
			item = next
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
