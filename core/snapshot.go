package core

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	dlmv1 "dlm/api/dlm/v1"
)

// The encoding of a snapshot. Each record has one encoding only, but records may come in any order: one that changes while
// an Image is taken comes early.
//
//	+---------+---------+------------------------------------------+--------+
//	| "dlmcore" (7)     | version (1)  | body                      | crc (4)|
//	+---------+---------+------------------------------------------+--------+
//
//	crc       CRC-32C of everything before it, little-endian
//	number    unsigned varint, as short as it can be       text      number of bytes, bytes
//	flag      number 0 or 1                                list of x count, then each
//
//	body      now index lastToken lastSession lastWaiter lastFile clusterID(16)
//	          limits: 18 numbers in the order of their fields
//	          list of session
//	          list of lock
//	          list of file
//	          list of ended: id reason, in the order they ended
//	session   id instance ttl opened deadline text:label openKey(16) openDigest key(16) revoked:flag text:why
//	          answer (of the Open)  list of loss (remembered)
//	          list of revoked hold whose lock has moved on, by token: text:lock token text:why until
//	          window  highest  list of slot: sequence kind(0 gap, 1 waiting, 2 answered) digest [answer if 2]
//	lock      text:name delayed delayToken
//	          list of hold, by token:    session mode token granted limit delay text:value deadline revoked:flag text:why
//	          list of waiter, by place:  id session sequence mode limit delay text:value since deadline
//	file      id text:name text:lock length crc tailCRC
//	answer    session sequence index stamp sessionDeadline reason text:detail token holdDeadline offset length limit
//	          instance ttl nextSequence cancelled text:key
//	          list of hold: text:lock mode token deadline   list of loss
//	loss      text:lock token reason text:why
//
// What follows from the rest is left out: indexes, counters, the heap of deadlines.
const (
	snapshotMagic   = "dlmcore"
	snapshotVersion = 3
	snapshotFrame   = len(snapshotMagic) + 1 + crc32.Size
)

var (
	// ErrSnapshot is wrapped by Restore's error about data that is damaged or is no snapshot.
	ErrSnapshot = errors.New("core: bad snapshot")
	// ErrSnapshotVersion is wrapped by Restore's error about a snapshot of a version that this one cannot read. The
	// data is not damaged.
	ErrSnapshotVersion = errors.New("core: unknown version of snapshot")
)

// Snapshot is the whole state, at once. See Image for a large one.
func (c *Core) Snapshot() []byte {
	e := &encoder{}
	e.head(c)
	e.count(c.sessions.order.n)
	for s := range c.sessions.order.all() {
		e.session(s)
	}
	e.count(c.locks.order.n)
	for l := range c.locks.order.all() {
		e.lock(l)
	}
	e.count(c.files.order.n)
	for f := range c.files.order.all() {
		e.file(f)
	}
	e.ended(c)
	return binary.LittleEndian.AppendUint32(e.b, crc32.Checksum(e.b, castagnoli))
}

// Hash is a digest of the state: servers with different hashes at one index have diverged. The order of the locks' records
// does not count, because nothing acts on it.
func (c *Core) Hash() uint64 {
	e := &encoder{}
	e.head(c)
	for s := range c.sessions.order.all() {
		e.session(s)
	}
	for f := range c.files.order.all() {
		e.file(f)
	}
	e.ended(c)
	sum := newDigest(0).bytes(e.b).sum()
	for l := range c.locks.order.all() {
		e.b = e.b[:0]
		e.lock(l)
		sum += newDigest(1).bytes(e.b).sum()
	}
	return sum
}

type encoder struct{ b []byte }

func (e *encoder) number(x uint64) { e.b = binary.AppendUvarint(e.b, x) }

func (e *encoder) numbers(xs ...uint64) {
	for _, x := range xs {
		e.number(x)
	}
}

func (e *encoder) count(n int) { e.number(uint64(n)) }

func (e *encoder) flag(x bool) {
	if x {
		e.number(1)
	} else {
		e.number(0)
	}
}

func (e *encoder) text(s string) {
	e.count(len(s))
	e.b = append(e.b, s...)
}

func (e *encoder) bytes(s []byte) {
	e.count(len(s))
	e.b = append(e.b, s...)
}

// head is all that is there once, but for the ended sessions.
func (e *encoder) head(c *Core) {
	e.b = append(e.b, snapshotMagic...)
	e.b = append(e.b, snapshotVersion)
	e.numbers(c.now, c.index, c.lastToken, c.sessions.last, c.lastWaiter, c.lastFile)
	e.b = append(e.b, c.clusterID[:]...)
	for _, f := range limitFields {
		e.number(*f.of(c.limits))
	}
}

func (e *encoder) ended(c *Core) {
	e.count(len(c.sessions.ended))
	for i := range c.sessions.ended {
		x := c.sessions.ended[(c.sessions.oldest+i)%len(c.sessions.ended)]
		e.numbers(x.id, uint64(x.reason))
	}
}

func (e *encoder) file(f *file) {
	e.number(f.ID)
	e.text(f.Name)
	e.text(f.Lock)
	e.numbers(f.Length, uint64(f.CRC), uint64(f.TailCRC))
}

func (e *encoder) session(s *session) {
	e.numbers(s.id, s.instance, s.ttl, s.opened, s.deadline)
	e.text(s.label)
	e.b = append(e.b, s.openKey[:]...)
	e.number(s.openDigest)
	e.b = append(e.b, s.key[:]...)
	e.flag(s.revoked)
	e.text(s.why)
	e.answer(s.openAnswer)
	e.losses(s.losses)
	e.count(len(s.unblocked))
	for _, u := range s.unblocked {
		e.text(u.lock)
		e.number(u.token)
		e.text(u.why)
		e.number(u.until)
	}
	e.numbers(s.window.size, s.window.highest)
	e.count(len(s.window.slots()))
	for i := range s.window.slots() {
		at := &s.window.slots()[i]
		e.numbers(at.sequence, uint64(at.kind), at.digest)
		if at.kind == slotAnswered {
			e.answer(at.answer)
		}
	}
}

func (e *encoder) lock(l *lock) {
	e.text(l.name)
	if l.delay != nil {
		e.numbers(l.delay.at, l.delay.id)
	} else {
		e.numbers(0, 0)
	}
	e.count(l.holds.n)
	for h := range l.holds.all() {
		e.numbers(h.session.id, uint64(h.mode), h.token, h.granted)
		e.terms(h.terms.get())
		e.number(h.deadline())
		e.flag(h.revoked)
		e.text(h.why())
	}
	e.count(l.waiters.n)
	for w := range l.waiters.all() {
		e.numbers(w.id, w.session.id, w.sequence, uint64(w.mode))
		e.terms(w.terms.get())
		e.numbers(w.since, w.timer.stamp())
	}
}

func (e *encoder) terms(t *terms) {
	e.numbers(t.limit, t.delay)
	e.bytes(t.value)
}

func (e *encoder) losses(losses []*dlmv1.Loss) {
	e.count(len(losses))
	for _, l := range losses {
		e.text(l.Lock)
		e.numbers(l.Token, uint64(l.Reason))
		e.text(l.Why)
	}
}

func (e *encoder) answer(a *dlmv1.Answer) {
	e.numbers(a.Session, a.Sequence, a.Index, a.Stamp, a.SessionDeadline, uint64(a.Reason))
	e.text(a.Detail)
	e.numbers(a.Token, a.HoldDeadline, a.Offset, a.Length, a.Limit, a.Instance, a.TtlNanos, a.NextSequence, uint64(a.Cancelled))
	e.bytes(a.Key)
	e.count(len(a.Holds))
	for _, h := range a.Holds {
		e.text(h.Lock)
		e.numbers(uint64(h.Mode), h.Token, h.HoldDeadline)
	}
	e.losses(a.Losses)
}

// Restore reads a Snapshot. It refuses whatever is not one, and any whose state breaks an invariant.
func Restore(data []byte) (*Core, error) {
	if len(data) < snapshotFrame || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%w: %d bytes that do not begin with %q", ErrSnapshot, len(data), snapshotMagic)
	}
	end := len(data) - crc32.Size
	if got, want := crc32.Checksum(data[:end], castagnoli), binary.LittleEndian.Uint32(data[end:]); got != want {
		return nil, fmt.Errorf("%w: its checksum is %08x, it should be %08x", ErrSnapshot, got, want)
	}
	if v := data[len(snapshotMagic)]; v != snapshotVersion {
		return nil, fmt.Errorf("%w: got %d, can read %d", ErrSnapshotVersion, v, snapshotVersion)
	}
	d := &decoder{b: data[len(snapshotMagic)+1 : end], size: end}
	c := newCore()
	d.core(c)
	if d.err == nil && len(d.b) != 0 {
		d.fail("%d bytes are left over", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return c, nil
}

// decoder reads what encoder wrote. After the first failure everything that it returns is zero.
type decoder struct {
	b    []byte
	size int
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: near byte %d: %s", ErrSnapshot, d.size-len(d.b), fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *decoder) number() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 || (n > 1 && d.b[n-1] == 0) {
		d.fail("no number")
		return 0
	}
	d.b = d.b[n:]
	return x
}

// upTo reads a number that is at most that.
func (d *decoder) upTo(most uint64) uint64 {
	x := d.number()
	if x > most {
		d.fail("got %d, at most %d makes sense", x, most)
		return 0
	}
	return x
}

// count reads the length of a list. Each item takes a byte or more, so a list is never longer than what is left.
func (d *decoder) count() int { return int(d.upTo(uint64(len(d.b)))) }

func (d *decoder) flag() bool { return d.upTo(1) == 1 }

func (d *decoder) raw(n int) []byte {
	if n > len(d.b) {
		d.fail("%d bytes are missing", n-len(d.b))
		return nil
	}
	x := d.b[:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) text() string  { return string(d.raw(d.count())) }
func (d *decoder) bytes() []byte { return append([]byte(nil), d.raw(d.count())...) }
func (d *decoder) key() key      { return toKey(d.raw(16)) }

func (d *decoder) reason() dlmv1.Reason { return dlmv1.Reason(d.upTo(1 << 30)) }
func (d *decoder) mode() dlmv1.Mode     { return dlmv1.Mode(d.upTo(1)) }

func (d *decoder) core(c *Core) {
	c.now, c.index, c.lastToken = d.number(), d.number(), d.number()
	c.sessions.last, c.lastWaiter, c.lastFile = d.number(), d.number(), d.number()
	c.clusterID = d.key()
	c.limits = new(dlmv1.Limits)
	for _, f := range limitFields {
		*f.of(c.limits) = d.number()
	}
	d.sessions(c)
	var holds []*hold
	var waiters []*waiter
	n := d.count()
	if most := len(d.b) / leastLock; n > most {
		d.fail("%d locks, %d bytes cannot hold more than %d", n, len(d.b), most)
	} else {
		c.locks.byName = make(map[string]*lock, n)
		holds = make([]*hold, 0, n)
	}
	for ; n > 0 && d.err == nil; n-- {
		holds, waiters = d.lock(c, holds, waiters)
	}
	// The locks gave them in their own order; a session has them in order of token and id.
	slices.SortFunc(holds, func(a, b *hold) int { return cmp.Compare(a.token, b.token) })
	for _, h := range holds {
		h.session.holds.push(h)
	}
	slices.SortFunc(waiters, func(a, b *waiter) int { return cmp.Compare(a.id, b.id) })
	for _, w := range waiters {
		w.session.waits.push(w)
	}
	c.waiting = len(waiters)
	d.files(c)
	n = d.count()
	if n > endedKept {
		d.fail("%d ended sessions, at most %d are kept", n, endedKept)
	}
	for ; n > 0 && d.err == nil; n-- {
		c.sessions.remember(endedSession{d.number(), d.reason()})
	}
}

// leastSession and leastLock are fewer bytes than a record of each has: they bound what a wrong count can allocate.
const (
	leastSession = 40
	leastLock    = 4
)

func (d *decoder) sessions(c *Core) {
	n := d.count()
	if most := len(d.b) / leastSession; n > most {
		d.fail("%d sessions, %d bytes cannot hold more than %d", n, len(d.b), most)
		return
	}
	c.sessions.byID, c.sessions.byKey = make(map[uint64]*session, n), make(map[key]*session, n)
	all := make([]*session, 0, n)
	for ; n > 0; n-- {
		s := d.session(c)
		if d.err != nil {
			return
		}
		c.sessions.byID[s.id], c.sessions.byKey[s.openKey] = s, s
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	for _, s := range all {
		c.sessions.add(s)
	}
}

func (d *decoder) files(c *Core) {
	var all []FileRecord
	for n := d.count(); n > 0 && d.err == nil; n-- {
		r := FileRecord{ID: d.number(), Name: d.text(), Lock: d.text(), Length: d.number()}
		r.CRC, r.TailCRC = uint32(d.upTo(1<<32-1)), uint32(d.upTo(1<<32-1))
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b FileRecord) int { return cmp.Compare(a.ID, b.ID) })
	for _, r := range all {
		if c.files.byName[r.Name] != nil {
			d.fail("the file %q is there twice", r.Name)
			return
		}
		c.files.add(r)
	}
}

func (d *decoder) session(c *Core) *session {
	s := &session{
		id: d.number(), instance: d.number(), ttl: d.number(), opened: d.number(), deadline: d.number(),
		label: d.text(), openKey: d.key(), openDigest: d.number(), key: d.key(), revoked: d.flag(), why: d.text(),
		openAnswer: d.answer(), losses: d.losses(),
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		s.unblocked = append(s.unblocked, unblocked{lock: d.text(), token: d.number(), why: d.text(), until: d.number()})
	}
	s.window.size, s.window.highest = d.number(), d.number()
	for n := d.count(); n > 0 && d.err == nil; n-- {
		at := slot{sequence: d.number(), kind: slotKind(d.upTo(uint64(slotAnswered))), digest: d.number()}
		if at.kind == slotAnswered {
			at.answer = d.answer()
		}
		s.window.buf = append(s.window.buf, at)
	}
	if d.err != nil {
		return nil
	}
	if c.sessions.byID[s.id] != nil || c.sessions.byKey[s.openKey] != nil {
		d.fail("the session %d or its key is there twice", s.id)
		return nil
	}
	s.timer = deadline{kind: dueSession, id: s.id, owner: s}
	c.deadlines.set(&s.timer, s.deadline)
	return s
}

func (d *decoder) lock(c *Core, holds []*hold, waiters []*waiter) ([]*hold, []*waiter) {
	name := d.text()
	if d.err != nil {
		return nil, nil
	}
	before := len(c.locks.byName)
	l := c.locks.add(name)
	if len(c.locks.byName) == before {
		d.fail("the lock %q is there twice", name)
		return nil, nil
	}
	if until, token := d.number(), d.number(); until != 0 {
		c.delay(l, token, until)
	}
	for n := d.count(); n > 0; n-- {
		h := d.hold(c, l)
		if d.err != nil {
			return nil, nil
		}
		holds = append(holds, h)
	}
	for n := d.count(); n > 0; n-- {
		w := d.waiter(c, l)
		if d.err != nil {
			return nil, nil
		}
		waiters = append(waiters, w)
	}
	return holds, waiters
}

func (d *decoder) owner(c *Core) *session {
	id := d.number()
	s := c.sessions.byID[id]
	if s == nil {
		d.fail("there is no session %d", id)
	}
	return s
}

func (d *decoder) hold(c *Core, l *lock) *hold {
	h := &hold{
		lock: l, session: d.owner(c), mode: d.mode(), token: d.number(), granted: d.number(), terms: d.terms(c),
	}
	until := d.number()
	h.revoked = d.flag()
	why := d.text()
	if d.err == nil && until == 0 && (h.revoked || why != "") {
		d.fail("the hold %d was revoked and has no end", h.token)
	}
	if d.err != nil {
		return nil
	}
	kind := dueHold
	if h.revoked {
		kind = dueBlock
		h.session.unconfirmed++
	}
	if until != 0 {
		c.endAt(h, kind, until)
		h.end.why = why
	}
	l.holds.push(h)
	return h
}

func (d *decoder) waiter(c *Core, l *lock) *waiter {
	w := &waiter{
		lock: l, id: d.number(), session: d.owner(c), sequence: d.number(), mode: d.mode(), terms: d.terms(c),
		since: d.number(),
	}
	until := d.number()
	if d.err != nil {
		return nil
	}
	// Check has not seen the window yet: look without counting on its order.
	slots := w.session.window.slots()
	i := slices.IndexFunc(slots, func(at slot) bool { return at.sequence == w.sequence })
	if i < 0 || slots[i].kind != slotWaiting || slots[i].waiter != nil {
		d.fail("sequence %d of session %d does not wait", w.sequence, w.session.id)
		return nil
	}
	slots[i].waiter = w
	if until != 0 {
		c.timeOut(w, until)
	}
	l.waiters.push(w)
	return w
}

func (d *decoder) terms(c *Core) *terms {
	limit, delay := d.number(), d.number()
	return c.locks.newTerms(limit, delay, d.raw(d.count()))
}

func (d *decoder) losses() []*dlmv1.Loss {
	var losses []*dlmv1.Loss
	for n := d.count(); n > 0 && d.err == nil; n-- {
		losses = append(losses, &dlmv1.Loss{Lock: d.text(), Token: d.number(), Reason: d.reason(), Why: d.text()})
	}
	return losses
}

func (d *decoder) answer() *dlmv1.Answer {
	a := &dlmv1.Answer{
		Session: d.number(), Sequence: d.number(), Index: d.number(), Stamp: d.number(),
		SessionDeadline: d.number(), Reason: d.reason(), Detail: d.text(), Token: d.number(), HoldDeadline: d.number(),
		Offset: d.number(), Length: d.number(), Limit: d.number(), Instance: d.number(), TtlNanos: d.number(),
		NextSequence: d.number(), Cancelled: d.reason(), Key: d.bytes(),
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		a.Holds = append(a.Holds, &dlmv1.Hold{Lock: d.text(), Mode: d.mode(), Token: d.number(), HoldDeadline: d.number()})
	}
	a.Losses = d.losses()
	return a
}
