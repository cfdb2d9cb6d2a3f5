package core_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// The stories are what a lock service must never do, told one by one. Time is in seconds here, TTLs are 10 seconds.

// teller drives one core; every send is a log entry of its own.
type teller struct {
	t     *testing.T
	core  *core.Core
	index uint64
	now   uint64
	last  core.Output
	opens byte
}

const second = 1_000_000_000

func tell(t *testing.T) *teller {
	t.Helper()
	c, err := core.New(core.Config{Limits: core.DefaultLimits(), FirstToken: 100})
	if err != nil {
		t.Fatal(err)
	}
	return &teller{t: t, core: c, index: 1}
}

// send logs requests together, and returns the answers and notices of the entry.
func (w *teller) send(requests ...*dlmv1.Request) core.Output {
	w.t.Helper()
	w.index++
	w.last = w.core.Apply(w.index, w.now*second, requests)
	if err := w.core.Check(); err != nil {
		w.t.Fatalf("Check: %v", err)
	}
	return w.last
}

// at lets time pass, with an empty entry at its end.
func (w *teller) at(seconds uint64) core.Output {
	w.t.Helper()
	w.now = seconds
	return w.send()
}

// restart goes on with what a snapshot brings back.
func (w *teller) restart() {
	w.t.Helper()
	restored, err := core.Restore(w.core.Snapshot())
	if err != nil {
		w.t.Fatal(err)
	}
	w.core = restored
}

// client is one instance of one session.
type client struct {
	*teller
	id, instance, sequence uint64
}

func (w *teller) open() *client {
	w.t.Helper()
	w.opens++
	a := w.send(&dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: makeKey(1, uint64(w.opens)), TtlNanos: 10 * second}}}).Answers[0]
	w.want(a, dlmv1.Reason_REASON_OK)
	return &client{teller: w, id: a.GetSession(), instance: a.GetInstance()}
}

// attach takes the session over as a new instance.
func (c *client) attach(key, replaces uint64) *dlmv1.Request {
	return &dlmv1.Request{Session: c.id, Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: makeKey(2, key), Replaces: replaces}}}
}

// next numbers a request; its client awaits every answer that it ever asked for.
func (c *client) next(q *dlmv1.Request) *dlmv1.Request {
	c.sequence++
	q.Session, q.Instance, q.Sequence = c.id, c.instance, c.sequence
	return q
}

func (c *client) lock(name string, with ...func(*dlmv1.Acquire)) *dlmv1.Request {
	a := &dlmv1.Acquire{Lock: name}
	for _, f := range with {
		f(a)
	}
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: a}})
}

func shared(a *dlmv1.Acquire) { a.Mode = dlmv1.Mode_MODE_SHARED }
func try(a *dlmv1.Acquire)    { a.WaitNanos = proto.Uint64(0) }
func waitUpTo(s uint64) func(*dlmv1.Acquire) {
	return func(a *dlmv1.Acquire) { a.WaitNanos = proto.Uint64(s * second) }
}

func holdLimit(s uint64) func(*dlmv1.Acquire) {
	return func(a *dlmv1.Acquire) { a.HoldLimitNanos = s * second }
}

func lockDelay(s uint64) func(*dlmv1.Acquire) {
	return func(a *dlmv1.Acquire) { a.LockDelayNanos = s * second }
}

func (c *client) unlock(name string, token uint64) *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: name, Token: token}}})
}

func (c *client) renew(name string, token uint64) *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: name, Token: token}}})
}

func (c *client) append(name string, token uint64, data string) *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "log", Lock: name, Token: token, Data: []byte(data)}}})
}

func (c *client) keepAlive() *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}})
}

func (c *client) close() *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_Close{Close: &dlmv1.Close{}}})
}

func (c *client) cancel(sequence uint64) *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_Cancel{Cancel: &dlmv1.Cancel{Sequence: sequence}}})
}

func (c *client) revoke(name string, now bool) *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: name, Now: now, Why: "maintenance"}}})
}

func (c *client) revokeSession(of *client) *dlmv1.Request {
	return c.next(&dlmv1.Request{Op: &dlmv1.Request_RevokeSession{RevokeSession: &dlmv1.RevokeSession{Session: of.id, Why: "maintenance"}}})
}

// to finds the answer to a request in the last entry, nil if there is none.
func (w *teller) to(q *dlmv1.Request) *dlmv1.Answer {
	for _, a := range w.last.Answers {
		if a.GetSession() == q.GetSession() && a.GetSequence() == q.GetSequence() {
			return a
		}
	}
	return nil
}

// ask sends one request and returns its answer.
func (w *teller) ask(q *dlmv1.Request, reason dlmv1.Reason) *dlmv1.Answer {
	w.t.Helper()
	w.send(q)
	return w.want(w.to(q), reason)
}

// granted wants a grant for q in the last entry, and returns the token.
func (w *teller) granted(q *dlmv1.Request) uint64 {
	w.t.Helper()
	a := w.want(w.to(q), dlmv1.Reason_REASON_OK)
	if a.GetToken() == 0 {
		w.t.Fatalf("a grant without token: %v", a)
	}
	return a.GetToken()
}

// take sends an acquire that must be granted at once.
func (w *teller) take(q *dlmv1.Request) uint64 {
	w.t.Helper()
	w.send(q)
	return w.granted(q)
}

// queue sends an acquire that must wait.
func (w *teller) queue(q *dlmv1.Request) {
	w.t.Helper()
	w.send(q)
	w.silent(q)
	w.noticed(dlmv1.Notice_KIND_QUEUED, q.GetSession())
}

func (w *teller) silent(q *dlmv1.Request) {
	w.t.Helper()
	if a := w.to(q); a != nil {
		w.t.Fatalf("answered too early: %v", a)
	}
}

func (w *teller) noticed(kind dlmv1.Notice_Kind, session uint64) *dlmv1.Notice {
	w.t.Helper()
	for _, n := range w.last.Notices {
		if n.GetKind() == kind && n.GetSession() == session {
			return n
		}
	}
	w.t.Fatalf("no %v for session %d in %v", kind, session, w.last.Notices)
	return nil
}

func (w *teller) want(a *dlmv1.Answer, reason dlmv1.Reason) *dlmv1.Answer {
	w.t.Helper()
	if a == nil {
		w.t.Fatalf("no answer, want %v", reason)
	}
	if a.GetReason() != reason {
		w.t.Fatalf("answer is %v, want %v", a, reason)
	}
	return a
}

func (w *teller) equal(what string, got, want uint64) {
	w.t.Helper()
	if got != want {
		w.t.Fatalf("%s is %d, want %d", what, got, want)
	}
}

const (
	ok            = dlmv1.Reason_REASON_OK
	tooOld        = dlmv1.Reason_REASON_TOO_OLD
	notAcquired   = dlmv1.Reason_REASON_NOT_ACQUIRED
	waitTimeout   = dlmv1.Reason_REASON_WAIT_TIMEOUT
	wasCancelled  = dlmv1.Reason_REASON_CANCELLED
	staleToken    = dlmv1.Reason_REASON_STALE_TOKEN
	lockRevoked   = dlmv1.Reason_REASON_LOCK_REVOKED
	hitHoldLimit  = dlmv1.Reason_REASON_HOLD_LIMIT
	fencedOff     = dlmv1.Reason_REASON_INSTANCE_FENCED
	expired       = dlmv1.Reason_REASON_SESSION_EXPIRED
	closed        = dlmv1.Reason_REASON_SESSION_CLOSED
	revoked       = dlmv1.Reason_REASON_SESSION_REVOKED
	alreadyHeld   = dlmv1.Reason_REASON_ALREADY_HELD
	sequenceTwice = dlmv1.Reason_REASON_SEQUENCE_REUSED
)

// A waiter whose session died is granted nothing; the next one in the queue is (etcd 11456, 19597).
func TestStoryDeadWaiterGetsNoGrant(t *testing.T) {
	w := tell(t)
	holder, dying, next := w.open(), w.open(), w.open()
	token := w.take(holder.lock("a"))
	first, second := dying.lock("a"), next.lock("a")
	w.queue(first)
	w.queue(second)
	w.now = 8
	w.send(holder.keepAlive(), next.keepAlive())
	w.at(10)
	w.want(w.to(first), expired)
	w.noticed(dlmv1.Notice_KIND_SESSION_LOST, dying.id)
	w.ask(holder.unlock("a", token), ok)
	w.granted(second)
}

// The holder's end and the waiter's end are due in one entry: the waiter is dead already when the lock comes free.
func TestStoryNoGrantToSessionThatExpiresInTheSameEntry(t *testing.T) {
	w := tell(t)
	holder, waiter := w.open(), w.open()
	w.take(holder.lock("a", holdLimit(5)))
	waits := waiter.lock("a")
	w.queue(waits)
	before := w.core.LastToken()
	w.at(30)
	w.want(w.to(waits), expired)
	w.equal("the last token", w.core.LastToken(), before)
}

// A retried unlock does not release the hold that came after it (etcd 22082).
func TestStoryRetriedUnlockSparesNewerHold(t *testing.T) {
	w := tell(t)
	c := w.open()
	old := w.take(c.lock("a"))
	unlock := c.unlock("a", old)
	first := w.ask(unlock, ok)
	token := w.take(c.lock("a"))
	if again := w.ask(unlock, ok); again != first {
		t.Fatalf("a duplicate was answered %v, first %v", again, first)
	}
	stale := w.ask(c.unlock("a", old), staleToken) // and a new unlock with the old token does not either
	w.equal("the current token", stale.GetToken(), token)
	w.ask(c.lock("a"), alreadyHeld)
}

// A late duplicate of an acquire does not take the lock again.
func TestStoryLateDuplicateAfterRelease(t *testing.T) {
	w := tell(t)
	c, other := w.open(), w.open()
	acquire := c.lock("a")
	token := w.take(acquire)
	w.ask(c.unlock("a", token), ok)
	w.equal("the token that the duplicate is told", w.ask(acquire, ok).GetToken(), token)
	last := c.keepAlive()
	last.Watermark = last.GetSequence() // nothing else is awaited
	w.ask(last, ok)
	w.ask(acquire, tooOld)
	w.take(other.lock("a", try))
}

// A duplicate of a waiting acquire keeps its one place; after the grant it is told the token.
func TestStoryDuplicateJoinsItsOwnPlace(t *testing.T) {
	w := tell(t)
	holder, first, second := w.open(), w.open(), w.open()
	token := w.take(holder.lock("a"))
	a, b := first.lock("a"), second.lock("a")
	w.queue(a)
	w.queue(b)
	w.queue(a)
	w.ask(holder.unlock("a", token), ok)
	got := w.granted(a)
	w.silent(b)
	w.ask(first.unlock("a", got), ok)
	w.granted(b)
	w.equal("the token that the duplicate is told", w.ask(a, ok).GetToken(), got)
	reused := second.unlock("a", 1)
	reused.Sequence = b.GetSequence()
	w.ask(reused, sequenceTwice)
}

// The token counter does not fall back when the record of the lock is gone.
func TestStoryTokensSurviveCleanUp(t *testing.T) {
	w := tell(t)
	c := w.open()
	last := uint64(99)
	for range 3 {
		token := w.take(c.lock("a"))
		w.equal("the token", token, last+1)
		w.ask(c.unlock("a", token), ok)
		restored, err := core.Restore(w.core.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		w.core, last = restored, token
	}
}

// Released, hold limit, revoked, expired and closed are different answers.
func TestStoryReasonsOfLossAreToldApart(t *testing.T) {
	w := tell(t)
	c, operator, ending, leaving := w.open(), w.open(), w.open(), w.open()
	released, limited, taken := w.take(c.lock("a")), w.take(c.lock("b", holdLimit(3))), w.take(c.lock("c"))
	w.ask(c.unlock("a", released), ok)
	w.ask(operator.revoke("c", false), ok)
	w.ask(leaving.close(), ok)
	w.at(3)
	w.equal("the lost token", w.noticed(dlmv1.Notice_KIND_LOCK_LOST, c.id).GetToken(), limited)
	for _, ask := range []func(string, uint64) *dlmv1.Request{
		c.renew, func(l string, k uint64) *dlmv1.Request { return c.append(l, k, "x") }, c.unlock,
	} {
		w.ask(ask("a", released), staleToken)
		w.ask(ask("b", limited), hitHoldLimit)
		w.ask(ask("c", taken), lockRevoked)
	}
	w.at(10)
	w.ask(ending.keepAlive(), expired)
	w.ask(leaving.keepAlive(), closed)
}

// Revoke: the token dies at once, the lock moves on when the holder has confirmed.
func TestStoryRevokeWaitsForConfirmation(t *testing.T) {
	w := tell(t)
	holder, operator, waiter := w.open(), w.open(), w.open()
	token := w.take(holder.lock("a"))
	waits := waiter.lock("a")
	w.queue(waits)
	w.equal("the contended token", w.noticed(dlmv1.Notice_KIND_CONTENDED, holder.id).GetToken(), token)
	w.ask(operator.revoke("a", false), ok)
	w.equal("the lost token", w.noticed(dlmv1.Notice_KIND_LOCK_LOST, holder.id).GetToken(), token)
	w.silent(waits)
	w.ask(holder.append("a", token, "x"), lockRevoked)
	if losses := w.ask(holder.keepAlive(), ok).GetLosses(); len(losses) != 1 || losses[0].GetToken() != token || losses[0].GetWhy() != "maintenance" {
		t.Fatalf("unconfirmed losses are %v", losses)
	}
	w.ask(holder.unlock("a", token), lockRevoked)
	w.granted(waits)
	if losses := w.ask(holder.keepAlive(), ok).GetLosses(); len(losses) != 0 {
		t.Fatalf("confirmed, and yet listed: %v", losses)
	}
}

// Revoke: without confirmation the lock moves on at the end of the lease as it was then, however much the holder renews.
func TestStoryRevokeEndsWithTheLeaseAsOfThen(t *testing.T) {
	w := tell(t)
	holder, operator, waiter := w.open(), w.open(), w.open()
	token := w.take(holder.lock("a", lockDelay(2)))
	waits := waiter.lock("a")
	w.now = 4
	w.queue(waits)
	w.ask(operator.revoke("a", false), ok)
	w.now = 9
	w.send(holder.keepAlive(), waiter.keepAlive())
	w.silent(waits)
	w.at(10) // the lease as of the revoke ends, the lock-delay begins
	w.silent(waits)
	w.at(11)
	w.silent(waits)
	w.at(12)
	w.granted(waits)
	w.ask(holder.renew("a", token), lockRevoked)
}

// A hold limit beyond the lease does not make a revoke wait longer.
func TestStoryRevokeOfHoldWithLongLimit(t *testing.T) {
	w := tell(t)
	holder, operator, waiter := w.open(), w.open(), w.open()
	w.take(holder.lock("a", holdLimit(60)))
	waits := waiter.lock("a")
	w.queue(waits)
	w.ask(operator.revoke("a", false), ok)
	w.now = 9
	w.send(holder.keepAlive(), waiter.keepAlive())
	w.silent(waits)
	w.at(10)
	w.granted(waits)
}

// Renew with 0 goes back to the limit of the acquire, which may be none.
func TestStoryRenewBackToNoLimit(t *testing.T) {
	w := tell(t)
	c := w.open()
	token := w.take(c.lock("a"))
	short := c.renew("a", token)
	short.GetRenew().HoldLimitNanos = 2 * second
	w.equal("the hold deadline", w.ask(short, ok).GetHoldDeadline(), 2*second)
	w.equal("the hold deadline", w.ask(c.renew("a", token), ok).GetHoldDeadline(), 0)
	w.at(5)
	w.ask(c.unlock("a", token), ok)
}

func TestStoryRevokeNow(t *testing.T) {
	w := tell(t)
	holder, operator, waiter := w.open(), w.open(), w.open()
	token := w.take(holder.lock("a"))
	waits := waiter.lock("a")
	w.queue(waits)
	w.ask(operator.revoke("a", true), ok)
	w.granted(waits)
	w.ask(holder.unlock("a", token), lockRevoked)
	w.named(w.ask(holder.keepAlive(), ok))
}

// named wants an answer to list exactly these lost tokens.
func (w *teller) named(a *dlmv1.Answer, tokens ...uint64) {
	w.t.Helper()
	var got []uint64
	for _, l := range a.GetLosses() {
		got = append(got, l.GetToken())
		w.equal("the reason", uint64(l.GetReason()), uint64(lockRevoked))
	}
	if !slices.Equal(got, tokens) {
		w.t.Fatalf("the answer names the lost tokens %v, want %v", got, tokens)
	}
}

// What was revoked at once is named by every renewal until the holder has confirmed it, whatever became of the lock, also
// after a restart and to another instance: the notice may have been lost.
func TestStoryRevokeNowIsToldUntilConfirmed(t *testing.T) {
	w := tell(t)
	holder, operator, next := w.open(), w.open(), w.open()
	first, second := w.take(holder.lock("a")), w.take(holder.lock("b"))
	w.ask(operator.revoke("b", true), ok)
	w.ask(operator.revoke("a", false), ok)
	w.ask(operator.revoke("a", true), ok)
	w.take(next.lock("a"))
	w.named(w.ask(holder.keepAlive(), ok), first, second)
	w.named(w.ask(next.keepAlive(), ok))
	w.ask(holder.unlock("b", first), staleToken) // neither lock nor token alone
	w.restart()
	w.named(w.ask(holder.keepAlive(), ok), first, second)
	w.ask(holder.unlock("a", first), lockRevoked)
	w.named(w.ask(holder.keepAlive(), ok), second)
	w.named(w.ask(holder.attach(2, 1), ok), second)
	holder.instance = 2
	w.now = 9
	w.named(w.ask(holder.keepAlive(), ok), second)
	w.at(10) // the lease as of the revoke ends: no library believes in it any more
	w.named(w.ask(holder.keepAlive(), ok))
	w.ask(holder.unlock("b", second), lockRevoked)
}

// What is not confirmed takes room among the session's locks, or else it could grow without bound (G10).
func TestStoryRevokeNowIsBounded(t *testing.T) {
	w := tell(t)
	holder, operator := w.open(), w.open()
	w.ask(operator.next(&dlmv1.Request{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{
		Limits: &dlmv1.Limits{HoldsPerSession: 1},
	}}}), ok)
	token := w.take(holder.lock("a"))
	w.ask(operator.revoke("a", true), ok)
	w.ask(holder.lock("b"), dlmv1.Reason_REASON_LIMIT)
	w.ask(holder.unlock("a", token), lockRevoked)
	w.take(holder.lock("b"))
}

// A revoked session does nothing any more; its waits are answered; closing it confirms.
func TestStoryRevokedSession(t *testing.T) {
	w := tell(t)
	victim, operator, waiter, other := w.open(), w.open(), w.open(), w.open()
	w.take(victim.lock("a"))
	w.take(other.lock("b"))
	its, waits := victim.lock("b"), waiter.lock("a")
	w.queue(its)
	w.queue(waits)
	w.ask(operator.revokeSession(victim), ok)
	w.want(w.to(its), revoked)
	w.silent(waits)
	w.noticed(dlmv1.Notice_KIND_SESSION_LOST, victim.id)
	w.now = 5
	w.ask(victim.keepAlive(), revoked)
	w.ask(victim.close(), ok)
	w.granted(waits)
}

// A cancel that overtakes its acquire is the acquire's result (G8).
func TestStoryCancelOvertakesItsAcquire(t *testing.T) {
	w := tell(t)
	c, other := w.open(), w.open()
	acquire := c.lock("a")
	if a := w.ask(c.cancel(acquire.GetSequence()), ok); a.GetCancelled() != wasCancelled {
		t.Fatalf("cancelled is %v", a.GetCancelled())
	}
	w.ask(acquire, wasCancelled)
	w.take(other.lock("a", try))
}

// A cancel is told "cancelled", or "was granted, under this token"; never neither.
func TestStoryCancelAndGrantCross(t *testing.T) {
	w := tell(t)
	holder, c := w.open(), w.open()
	token := w.take(holder.lock("a"))
	first, second := c.lock("a"), c.lock("b")
	w.queue(first)
	w.take(second)
	if a := w.ask(c.cancel(first.GetSequence()), ok); a.GetCancelled() != wasCancelled || a.GetToken() != 0 {
		t.Fatalf("the cancel of a waiting acquire was answered %v", a)
	}
	w.want(w.to(first), wasCancelled)
	third := c.lock("a")
	w.queue(third)
	cancel := c.cancel(third.GetSequence())
	w.send(holder.unlock("a", token), cancel)
	if a := w.want(w.to(cancel), ok); a.GetCancelled() != ok || a.GetToken() != w.granted(third) {
		t.Fatalf("the cancel of a granted acquire was answered %v", a)
	}
}

// A second instance takes over: holds stay, waits and results of the first are gone, and it can do nothing more. A late
// duplicate of an old attach takes nothing back.
func TestStoryTakeover(t *testing.T) {
	w := tell(t)
	holder, c := w.open(), w.open()
	w.take(holder.lock("a"))
	held, waits := c.lock("b"), c.lock("a")
	token := w.take(held)
	w.queue(waits)
	second := c.attach(2, 1)
	w.send(second)
	w.want(w.to(waits), fencedOff)
	a := w.want(w.to(second), ok)
	w.equal("the instance", a.GetInstance(), 2)
	w.equal("the next sequence", a.GetNextSequence(), 3)
	if len(a.GetHolds()) != 1 || a.GetHolds()[0].GetToken() != token {
		t.Fatalf("holds are %v", a.GetHolds())
	}
	w.equal("the current instance", w.ask(c.unlock("b", token), fencedOff).GetInstance(), 2)
	w.send(c.attach(3, 2))
	w.equal("the current instance", w.ask(second, fencedOff).GetInstance(), 3)
	c.instance = 3
	w.ask(c.unlock("b", token), ok)
	held.Instance = 3
	w.ask(held, tooOld)
}

// An attach with the current key, as after a reconnect, changes nothing and renews nothing.
func TestStoryReattachRenewsNothing(t *testing.T) {
	w := tell(t)
	c := w.open()
	w.send(c.attach(2, 1))
	w.now = 9
	a := w.ask(c.attach(2, 1), ok)
	w.equal("the deadline", a.GetSessionDeadline(), 10*second)
	w.at(10)
	w.noticed(dlmv1.Notice_KIND_SESSION_LOST, c.id)
}

// A duplicate renews nothing: the client counts its lease from the first send.
func TestStoryDuplicatesRenewNothing(t *testing.T) {
	w := tell(t)
	c := w.open()
	keep := c.keepAlive()
	w.now = 3
	w.ask(keep, ok)
	w.now = 12
	w.ask(keep, ok)
	w.at(13)
	w.noticed(dlmv1.Notice_KIND_SESSION_LOST, c.id)
}

// A shared acquire does not overtake an exclusive one that waits; shared ones behind it come in together.
func TestStorySharedDoesNotOvertake(t *testing.T) {
	w := tell(t)
	a, b, c, d := w.open(), w.open(), w.open(), w.open()
	reader := w.take(a.lock("a", shared))
	writer := b.lock("a")
	w.queue(writer)
	w.ask(c.lock("a", shared, try), notAcquired)
	late, later := c.lock("a", shared), d.lock("a", shared)
	w.queue(late)
	w.queue(later)
	w.ask(a.unlock("a", reader), ok)
	token := w.granted(writer)
	w.silent(late)
	w.ask(b.unlock("a", token), ok)
	if w.granted(late) >= w.granted(later) {
		t.Fatal("the later shared acquire was granted first")
	}
}

// A wait that times out in the entry of the release is decided by the log: by time first.
func TestStoryWaitTimeout(t *testing.T) {
	w := tell(t)
	holder, c := w.open(), w.open()
	token := w.take(holder.lock("a"))
	waits := c.lock("a", waitUpTo(3))
	w.queue(waits)
	w.now = 3
	w.ask(holder.unlock("a", token), ok)
	w.want(w.to(waits), waitTimeout)
	w.take(c.lock("a", try))
}

// The lock-delay follows an involuntary loss only.
func TestStoryLockDelay(t *testing.T) {
	w := tell(t)
	dying, c := w.open(), w.open()
	token := w.take(dying.lock("a", lockDelay(5)))
	w.ask(dying.unlock("a", token), ok)
	w.ask(c.unlock("a", w.take(c.lock("a", try))), ok)
	w.take(dying.lock("a", lockDelay(5))) // renews until 10
	w.now = 9
	w.ask(c.keepAlive(), ok)
	w.at(10)
	w.ask(c.lock("a", try), notAcquired)
	waits := c.lock("a")
	w.queue(waits)
	w.at(14)
	w.silent(waits)
	w.at(15)
	w.granted(waits)
}
