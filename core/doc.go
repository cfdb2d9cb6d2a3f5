// Package core is the lock table: a pure, deterministic state machine that turns log entries into answers.
//
//	          entries of the log                     reads
//	 index, stamp, []Request │                         │
//	                         ▼                         ▼
//	┌──────────────────────────────────────────────────────────────┐
//	│ 1 now = max(now, stamp)                                      │
//	│ 2 what is due, by (deadline, kind, id)                       │
//	│ 3 the requests, in order                                     │
//	│                                                              │
//	│ sessions ─ windows of results    locks ─ holds, queues       │
//	│ deadlines (heap)                 files ─ lengths, checksums  │
//	└────────┬──────────────────┬──────────────────┬───────────────┘
//	         ▼                  ▼                  ▼
//	      Answers            Notices            FileOps
//	(recorded; the same  (hints, may be   (bytes to write or
//	 for a duplicate)       lost)            files to remove)
//
// There is no clock, no randomness, no goroutine and no I/O in here, and nothing acts on the order of a map: two tables
// that were given the same entries are the same, down to the bytes of their snapshots.
//
// # Contract with the caller
//
//  1. One goroutine at a time. Lookup, Validate and Read change nothing that can be seen, and yet are no exception.
//  2. Entries are applied in the order of the log, each once. The stamps come from the log, never from a clock at hand.
//  3. Answers leave the process only after their entry is durable. Files are written in order; writing again after a crash
//     is harmless. A snapshot counts only once the files that it lists are synced up to their lengths.
//  4. Nothing that core hands out is changed by the caller, no request is changed after it was applied, and the data of an
//     append lives as long as its FileOp.
//  5. Before it proposes a request the caller asks Lookup, so that a duplicate costs no entry, and then Validate, so that
//     nonsense costs none either. Both are a courtesy: Apply decides everything again by itself.
//  6. When NextDeadline has come and nothing else is to be logged, the caller logs an empty entry.
//  7. The behaviour is frozen where it decides state: a change needs a new version of the log's batches.
//
// # What Apply decides, in detail
//
// The comments of the API's .proto file say what each operation does. Here is what they leave open.
//
// Order of checks of a sequenced request: session (gone, and why); instance; sequence 0 (INVALID); a known result or
// waiting acquire (the same again, or SEQUENCE_REUSED); TOO_OLD; session revoked; WINDOW_FULL; then the request is new:
// it is recorded and renews the session, whatever comes of it; then malformed (INVALID, UNSUPPORTED); then the operation.
// Whether a request is a duplicate is thus decided before anything that may have changed since its first copy (G4).
// WINDOW_FULL is answered with index 0 even from the log: the same request may succeed later. It never meets a sequence
// that fills a gap, so that a window can drain after it was made smaller.
//
// Time. Whatever happens in an entry happens at the entry's stamp, also what was due earlier: a lock-delay, a hold limit
// and a lock's wait begin at that stamp. A waiter whose session or wait timeout is due in the entry is granted nothing in it.
//
// A session's results live as long as its instance. After its end all its requests, duplicates too, are told why it ended.
//
// Limits. A waiting acquire counts as one of its session's holds_per_session. Order of an acquire's checks: ALREADY_HELD,
// ALREADY_WAITING, holds_per_session, locks, then grant, NOT_ACQUIRED for a try, waiters_per_lock. What exceeds a limit
// that was lowered stays.
//
// Revoke. A revoked hold has its lock-delay from when it stops blocking, however that comes about. Revoking what is revoked
// finds nothing, unless it is with `now`. A shared acquire may join a revoked shared hold: there is no conflict.
//
// Files. Order of checks: NOT_FOUND (delete), WRONG_LOCK, the hold (STALE_TOKEN and its like), NOT_EXCLUSIVE, limits.
package core
