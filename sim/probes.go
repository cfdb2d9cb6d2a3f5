package sim

import "slices"

// Probe is a rare situation that the random plans have to meet, or else the simulator does not test what it seems to. The
// prober finds them out from messages, log entries and faults; it decides nothing.
//
// To add one: a constant, its line in the table, and a call of meet where it can be seen. If a batch of the default size
// meets it fewer than ten times, change what plans are drawn (drawwork.go, drawfaults.go) rather than write one for it.
type Probe struct {
	// Name is the key of its count among World.Counts, after ProbePrefix.
	Name string
	// What it is, and why it is of interest.
	What string
}

// ProbePrefix begins the names of probes among the counts.
const ProbePrefix = "probe "

// Probes are all of them. A batch that never meets one does not test what it says.
func Probes() []Probe { return slices.Clone(probes[:]) }

type probe int

// The probes, by subject.
const (
	// Requests on their way.
	dupAfterRelease probe = iota
	dupWhilePending
	dupOfApplied
	dupAcrossRestart
	dupOfWaiter
	dupLogged
	dupForgotten
	gapFilled
	acquireAfterCancel
	afterSessionEnd
	openAgain
	openTooLate
	lostAndSentAgain
	windowFull
	overloaded
	heldBack
	laterConnection
	overtaken
	halfReset
	burst
	halfOpen

	// Locks.
	cancelOvertakes
	cancelMeetsGrant
	timeoutMeetsGrant
	justInTime
	sharedTogether
	sharedBehind
	waiterDies
	endsWithAll
	expiryHandsOn
	cutOffHandsOn
	holdLimitHandsOn
	renewTooLate
	renewShorter
	checkedShared
	delayKeeps
	delayShared
	herd
	manyDue

	// Revokes.
	revokeConfirmed
	revokeRunsOut
	revokeNowOverlap
	revokeAgain
	revokeNothing
	revokeWaiting
	noticeLost

	// Zombies and takeovers.
	zombieAppend
	zombieRelease
	zombieRenew
	appendUnderRevoked
	frozenFrames
	wokeLapsed
	lapsedFirst
	answerAfterLapse
	holdLimitFirst
	beyondRho
	takeOverHolds
	takeOverWaits
	takeOverRevoked
	takeOverOverlap
	fencedOff

	// Grants that nobody waits for.
	givenBack
	askedAgain
	queuedTooLate

	// Server and disk.
	batchSurvives
	outlived
	expiresAtRestart
	defaultTTL
	snapshotWaiters
	snapshotRevoked
	snapshotAndLog
	appliedInImage
	endsInImage
	tornTail
	diesInRecovery
	diesUnled
	bothTasks
	takenWhileFiling
	twoSegmentsMade
	cutWhileSnapshot
	bothAppend
	unsyncedBatch
	renamedSnapshot
	halfSegment
	failedSync
	rotRefused
	headRefused
	fileReborn
	blockBorder

	// Limits.
	limitSessions
	limitLocks
	limitHolds
	limitWaiters
	limitFiles
	limitFileBytes
	limitValue
	limitAppend
	limitLowered

	numProbes
)

var probes = [numProbes]Probe{
	dupAfterRelease:    {"a duplicate acquire arrives after its lock was released", "it must get its old answer, and not the lock"},
	dupWhilePending:    {"a duplicate joins its original", "both copies are there before the log has decided"},
	dupOfApplied:       {"a duplicate is answered from applied state", "its result is recorded: no new entry"},
	dupAcrossRestart:   {"a duplicate is answered by the next process", "the result outlives the process that answered first"},
	dupOfWaiter:        {"a waiting acquire is asked for again after a restart", "it must find its own place in the queue"},
	dupLogged:          {"a duplicate is logged", "Apply has to find out by itself"},
	dupForgotten:       {"a duplicate is too old", "its result was forgotten: an error, never a second execution"},
	gapFilled:          {"a sequence comes after a higher one", "sequences are identity, not order"},
	acquireAfterCancel: {"an acquire arrives after its cancel", "it must take no effect"},
	afterSessionEnd:    {"a request arrives after its session has ended", "late, duplicated, or a zombie's"},
	openAgain:          {"an open arrives again while its session lives", "it must get the same session"},
	openTooLate:        {"an open arrives again after its session has ended", "it makes at most an empty session that lapses"},
	lostAndSentAgain:   {"what a crash lost is sent again", "the server took the request in and never logged it"},
	windowFull:         {"a window is full", "refused before the log; the same request may succeed later"},
	overloaded:         {"the server is overloaded", "refused before the log"},
	heldBack:           {"a client holds calls back", "its server has more to do than it can; what renews and gives back still goes"},
	laterConnection:    {"a late copy comes over another connection", "the two ends have connected anew since it was sent"},
	overtaken:          {"a frame overtakes another", "also within one connection"},
	halfReset:          {"a connection breaks with half of its frames delivered", "neither end knows which half"},
	burst:              {"a clogged link is released", "ten frames or more arrive at once"},
	halfOpen:           {"a connection is half open", "the server's process is another one, the client does not know"},

	cancelOvertakes:   {"a cancel overtakes its acquire", "it is recorded as the acquire's result"},
	cancelMeetsGrant:  {"a cancel meets a grant", "it is answered with the token, which is given back"},
	timeoutMeetsGrant: {"a grant races with a wait timeout", "the lock comes free in the entry in which a waiter times out"},
	justInTime:        {"a waiter is granted just in time", "less than 20 ms before its wait timeout"},
	sharedTogether:    {"several share a lock at once", "one entry grants it to three waiters or more"},
	sharedBehind:      {"a shared acquire queues behind an exclusive one", "it could join the holders, and must not overtake"},
	waiterDies:        {"a waiter's session ends", "its place in the queue goes with it"},
	endsWithAll:       {"a session ends with holds and waits", "it must not be granted anything on the way out"},
	expiryHandsOn:     {"an expired session's lock is handed on", "end and grant are one entry"},
	cutOffHandsOn:     {"a lock leaves a client that is cut off", "the former holder cannot hear of it"},
	holdLimitHandsOn:  {"a hold limit hands a lock on", "at once, whatever the session does"},
	renewTooLate:      {"a renewal comes after the hold limit", "it must not revive the hold"},
	renewShorter:      {"a renewal sets the acquire's own hold limit again", "the hold ends sooner than its holder was told before"},
	checkedShared:     {"the token of a later one of several holders is checked", "each is judged for itself"},
	delayKeeps:        {"a lock-delay keeps a waiter waiting", "the lock is free and nobody may have it"},
	delayShared:       {"a lock-delay begins while others share the lock", "only one of the shared holds was lost"},
	herd:              {"a herd waits", "a dozen or more in one queue"},
	manyDue:           {"many things are due at once", "three losses or timeouts in one entry, as after a stall"},

	revokeConfirmed:  {"a revoke is confirmed", "the holder releases the dead token"},
	revokeRunsOut:    {"a revoke is never confirmed", "the lock moves on when the lease as of the revoke has ended"},
	revokeNowOverlap: {"a revoke at once lets two believe", "the documented exception to G2"},
	revokeAgain:      {"a revoke at once meets a hold that was revoked before", "it still blocks its lock, and nobody has confirmed"},
	revokeNothing:    {"a revoke finds nothing", "the holder was faster"},
	revokeWaiting:    {"a session is revoked while it waits", "its acquires are answered at once"},
	noticeLost:       {"the notice of a revoke is lost", "the holder learns of it from its keep-alive"},

	zombieAppend:       {"a zombie's append meets a newer hold", "fencing is all that protects the file"},
	zombieRelease:      {"a zombie's release meets a newer hold", "it must not release that"},
	zombieRenew:        {"a zombie's renewal meets a newer hold", "it must not renew that"},
	appendUnderRevoked: {"an append comes under a revoked token", "the token is dead at once, the lock is not free yet"},
	frozenFrames:       {"a frozen client's frames leave too late", "it decided while its session lived, and sends when it has ended"},
	wokeLapsed:         {"a frozen client wakes after its lease", "it must not resume its holds"},
	lapsedFirst:        {"a client gives up its session before the server", "its own clock says that the lease is over"},
	answerAfterLapse:   {"an answer comes after the lease", "the client has given the session up"},
	holdLimitFirst:     {"a client drops a hold before its limit passes at the server", "it cannot know better"},
	beyondRho:          {"two believe in one lock as a clock is beyond rho", "leases fail, fencing does not"},
	takeOverHolds:      {"a takeover finds holds", "the new instance goes on with them"},
	takeOverWaits:      {"a takeover ends waits", "the former instance's acquires are answered"},
	takeOverRevoked:    {"a takeover finds an unconfirmed revoke", "the new instance has to confirm it"},
	takeOverOverlap:    {"a former instance still believes", "it has not heard of the takeover: the documented exception to G2"},
	fencedOff:          {"a former instance's request is refused", "it still runs"},

	givenBack:     {"a grant that nobody wants any more is given back", "its caller gave up before it came"},
	askedAgain:    {"a grant is learnt by asking again", "its answer was lost"},
	queuedTooLate: {"the news of waiting comes after the grant", "notices may be late"},

	batchSurvives:    {"a batch that was never acknowledged survives a crash", "asked again, it must not be done again"},
	outlived:         {"an outage lengthens a lease", "the session lives though its TTL has passed in true time"},
	expiresAtRestart: {"a session expires in the first entry after a restart", "it must not have been shortened"},
	defaultTTL:       {"a session of the default TTL expires", "30 s, of a client that is gone"},
	snapshotWaiters:  {"a queue comes back from a snapshot", "waiters are state"},
	snapshotRevoked:  {"an unconfirmed revoke comes back from a snapshot", "so is what still blocks"},
	snapshotAndLog:   {"a recovery takes a snapshot and entries after it", "and not only one of them"},
	appliedInImage:   {"an entry is applied while a snapshot is encoded", "it is no part of that snapshot"},
	endsInImage:      {"a session ends while a snapshot is encoded", "records go that the snapshot may still need"},
	tornTail:         {"a torn tail is left behind", "a batch was being written when the server died"},
	diesInRecovery:   {"the server dies in recovery", "and the next recovery finds what that one left"},
	diesUnled:        {"the server dies before it leads", "its own election was on its way to the disk"},
	bothTasks:        {"log and files are written when the server dies", "two tasks are on their way at once"},
	takenWhileFiling: {"the log takes the next segment in the midst of a file task", "which makes that segment, and may be about to make another"},
	twoSegmentsMade:  {"the log makes a segment while the file task is in the midst of the next one", "two files that are to be segments at once"},
	cutWhileSnapshot: {"segments are cut in the midst of a snapshot", "the one before covers them"},
	bothAppend:       {"log and files are synced at once", "each only its own"},
	unsyncedBatch:    {"a crash comes between a batch's write and its sync", "written is not durable"},
	renamedSnapshot:  {"a crash comes between a snapshot's rename and the directory's sync", "either name may be there"},
	halfSegment:      {"a crash comes while a segment is made", "before it has its name"},
	failedSync:       {"a sync fails", "the process stops; what it wrote can still be read and is not durable"},
	rotRefused:       {"damage at rest is refused", "named with file and place"},
	headRefused:      {"damage to the head of a frame of the log is refused", "its length cannot be trusted, and good frames follow"},
	fileReborn:       {"a deleted file is begun again", "nothing of the old one may show"},
	blockBorder:      {"an append crosses a block's border", "two checksums change"},

	limitSessions:  {"the table of sessions is full", "an open is refused"},
	limitLocks:     {"the table of locks is full", "an acquire is refused"},
	limitHolds:     {"a session has as many locks as it may", "waiting counts too"},
	limitWaiters:   {"a queue is full", "one more acquire is refused"},
	limitFiles:     {"the table of files is full", "an append is refused"},
	limitFileBytes: {"a file is full", "one more append is refused"},
	limitValue:     {"a value is too long", "the acquire is refused"},
	limitAppend:    {"an append is too long", "it is refused"},
	limitLowered:   {"a limit is lowered below what is in use", "what is there stays"},
}
