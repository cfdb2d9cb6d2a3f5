package core

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Image is the state at one index, encoded a part at a time while the table goes on: the parts together are what Snapshot
// would have returned then, but for the order of its records.
//
//	sessions  [ encoded | cursor -> not yet ................. ] came later
//	locks     [ not yet ..................................... ] came later
//	                        ^ about to change: encoded first
//
// A record that is about to change, or to go, and is not encoded yet, is encoded at that moment. That costs what the cursor
// saves when it gets there. Records of a kind whose turn has not come are held back, so that a lock never precedes its
// sessions. One that came after the image was begun is marked as if it were encoded.
type Image struct {
	c     *Core
	mark  uint32 // of the records that are encoded or came later
	index uint64

	sessions cursor[session, sessionInOrder]
	locks    cursor[lock, lockInOrder]
	files    cursor[file, fileInOrder]
	turn     imageTurn

	out                  encoder // not handed out yet
	heldLocks, heldFiles encoder
	tail                 encoder  // the ended sessions
	ready                [][]byte // to be handed out before out
	given                []byte   // what Next returned last
	spare                []byte   // room for what comes after out
	sum                  uint32
	live                 map[uint64]bool
}

type imageTurn uint8

const (
	turnSessions imageTurn = iota
	turnLocks
	turnFiles
	turnOver
)

// cursor goes through one list. It stands on an item of the list, or behind the last one.
type cursor[T any, L linker[T]] struct {
	of   *list[T, L]
	at   *T
	left int // items that belong to the image and are not encoded
}

func begin[T any, L linker[T]](of *list[T, L]) cursor[T, L] {
	return cursor[T, L]{of: of, at: of.first, left: of.n}
}

// next is the item that the cursor stood on; nil at the end.
func (k *cursor[T, L]) next() *T {
	item := k.at
	if item != nil {
		k.at = k.of.link(item).next
	}
	return item
}

// leaves is called before an item is taken out of the list.
func (k *cursor[T, L]) leaves(item *T) {
	if k.at == item {
		k.at = k.of.link(item).next
	}
}

const (
	// imageBytes ends a slice of records.
	imageBytes = 256 << 10
	// imagePart is the most that Next returns, in bytes.
	imagePart = 1 << 20
	// usualRecord is about what a record takes, in bytes.
	usualRecord = 128
)

// BeginImage begins an image of the state as of the last entry applied. There is one at a time: nil if one is being taken.
// Call its Next, between entries, until it is done, or Stop.
func (c *Core) BeginImage() *Image {
	if c.image != nil {
		return nil
	}
	c.imageMark++
	i := &Image{
		c: c, mark: c.imageMark, index: c.index,
		sessions: begin(&c.sessions.order),
		locks:    begin(&c.locks.order),
		files:    begin(&c.files.order),
		live:     map[uint64]bool{},
	}
	i.out.head(c)
	i.out.count(i.sessions.left)
	i.heldLocks.count(i.locks.left)
	i.heldFiles.count(i.files.left)
	i.tail.ended(c)
	c.image = i
	return i
}

// Index is the entry whose state it is.
func (i *Image) Index() uint64 { return i.index }

// Files are the ids of the files of its state. They are complete once Next has said that it is done.
func (i *Image) Files() map[uint64]bool { return i.live }

// Stop gives the image up. It does nothing to one that is done.
func (i *Image) Stop() {
	if i.c.image == i {
		i.c.image = nil
	}
}

// Next encodes up to n more records, n >= 1, and returns the next part of the bytes, at most 1 MiB. It takes time
// proportional to n (but a lock counts as one with however many holders and waiters), and to nothing else. done says that
// this was the last part. A part may be empty. It is the caller's until the next call, which uses its room again: a large image
// would otherwise leave as much garbage as it has bytes, and the collector delays requests more than slices do.
func (i *Image) Next(n int) (part []byte, done bool) {
	i.spare = i.given
	part, done = i.next(n)
	i.given = part
	return part, done
}

func (i *Image) next(n int) (part []byte, done bool) {
	if len(i.ready) == 0 {
		left := i.sessions.left + i.locks.left + i.files.left
		i.out.b = slices.Grow(i.out.b, min(min(n, left)*usualRecord, imageBytes+imageBytes/8))
		for ; n > 0 && i.turn != turnOver && len(i.ready) == 0 && len(i.out.b) < imageBytes; n-- {
			i.step()
		}
		if len(i.out.b) > 0 || len(i.ready) == 0 {
			i.flush()
		}
	}
	part = i.ready[0]
	if len(part) > imagePart {
		part, i.ready[0] = part[:imagePart:imagePart], part[imagePart:]
	} else {
		i.ready = i.ready[1:]
	}
	if i.turn == turnOver && len(i.ready) == 0 {
		i.sum = crc32.Update(i.sum, castagnoli, part)
		i.c.image = nil
		return binary.LittleEndian.AppendUint32(part, i.sum), true
	}
	i.sum = crc32.Update(i.sum, castagnoli, part)
	return part, false
}

// flush makes what was encoded ready to be handed out.
func (i *Image) flush() {
	i.ready = append(i.ready, i.out.b)
	i.out.b, i.spare = i.spare[:0], nil
}

// step looks at one more record, or turns to the next kind.
func (i *Image) step() {
	switch i.turn {
	case turnSessions:
		if i.sessions.left == 0 {
			i.turn = turnLocks
			i.follow(&i.heldLocks)
		} else {
			i.session(i.sessions.next())
		}
	case turnLocks:
		if i.locks.left == 0 {
			i.turn = turnFiles
			i.follow(&i.heldFiles)
		} else {
			i.lock(i.locks.next())
		}
	case turnFiles:
		if i.files.left == 0 {
			i.turn = turnOver
			i.follow(&i.tail)
		} else {
			i.file(i.files.next())
		}
	}
}

// follow adds what was held back behind what was encoded, without a copy if it is much.
func (i *Image) follow(held *encoder) {
	if len(held.b) < imageBytes/8 {
		i.out.b = append(i.out.b, held.b...)
	} else {
		i.flush()
		i.ready = append(i.ready, held.b)
	}
	held.b = nil
}

func (i *Image) session(s *session) {
	if s.mark == i.mark {
		return
	}
	s.mark = i.mark
	i.sessions.left--
	i.out.session(s)
}

func (i *Image) lock(l *lock) {
	if l.mark == i.mark {
		return
	}
	l.mark = i.mark
	i.locks.left--
	e := &i.out
	if i.turn < turnLocks {
		e = &i.heldLocks
	}
	e.lock(l)
}

func (i *Image) file(f *file) {
	if f.mark == i.mark {
		return
	}
	f.mark = i.mark
	i.files.left--
	i.live[f.ID] = true
	e := &i.out
	if i.turn < turnFiles {
		e = &i.heldFiles
	}
	e.file(f)
}

// Whatever changes what a snapshot says of a record calls preserve first, and removes before it takes the record out of its
// table: the image that is being taken must hold it as it was. Without an image they cost a comparison.

func (c *Core) preserveSession(s *session) {
	if c.image != nil {
		c.image.session(s)
	}
}

func (c *Core) preserveLock(l *lock) {
	if c.image != nil {
		c.image.lock(l)
	}
}

func (c *Core) preserveFile(f *file) {
	if c.image != nil {
		c.image.file(f)
	}
}

func (c *Core) removesSession(s *session) {
	c.preserveSession(s)
	if c.image != nil {
		c.image.sessions.leaves(s)
	}
}

func (c *Core) removesLock(l *lock) {
	c.preserveLock(l)
	if c.image != nil {
		c.image.locks.leaves(l)
	}
}

func (c *Core) removesFile(f *file) {
	c.preserveFile(f)
	if c.image != nil {
		c.image.files.leaves(f)
	}
}
