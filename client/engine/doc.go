// Package engine is the sans-I/O half of the client library: sequences, retries, deadlines, leases, reconnecting and the
// choice of server. It has no goroutine, clock, socket or global randomness. Calls, network events and the time go in;
// connections to make, frames to send, completions and events come out. The library and the simulator drive the same
// engine.
//
//	calls            +--------------------------------------------+            Effects
//	Lock, Unlock, -->| call -> local queue of (session, lock)     |--> Done     completions
//	Do, Query, ...   |            |                               |--> Events   what was lost, who waits
//	                 |         request -> window -> ready -> sent |--> Frames   one conn, class by class
//	Connected,    -->|            ^                          |    |--> Dial
//	Receive, ...     |            +-- backoff, reconnect ----+    |--> Close
//	                 +--------------------------------------------+
//	                         NextTimer: when to Flush again
//
// Contract with the caller
//
//  1. One goroutine at a time. now never goes back (an earlier one counts as the latest), counts suspended time, and
//     runs at a rate within the cluster's drift bound.
//  2. After a group of calls and events, and at NextTimer, call Flush(now) and do what it returns. now is read before
//     any of the frames is handed over, and for Receive after the frame came in: leases are counted from these.
//  3. Report each Dial by Connected or Disconnected, and the end of each connection by Disconnected. Frames of one
//     connection should be sent in order; losing, repeating or reordering them is survived.
//  4. What is handed over (operations, reads) and what comes out (answers, frames) is not changed by either side.
//  5. Every call gets exactly one Completion. Its Err answers errors.Is for the sentinels of this package. A call that
//     ends without an answer may have taken effect, at most once, except that a lock or a session that nobody was told
//     of is given back.
//  6. Held says yes only while no server can have given the lock to anybody else. Ask it (or a fenced resource) before
//     acting, not only the events: an event comes with the next Flush.
//
// What it promises
//
//   - A request keeps its identity over all attempts, so it takes effect at most once. Refusals (not the leader,
//     overloaded, window full) are retried with exponential backoff and full jitter; what is unanswered after
//     Config.AttemptTimeout is sent again; on a new connection everything unanswered is sent again at once.
//   - Never more requests are awaited than the server's window has room for; more calls wait in order. Keep-alives and
//     releases have a part of the window for themselves, and leave before everything else.
//   - Keep-alives: every TTL/3 after the first sending of the last answered one. One that is unanswered is replaced by
//     a new one, so that the lease counts from a later sending. Only answers that list losses extend the lease (see
//     session.renewedBy).
//   - A session whose lease ends by the local clock is lost for good, even if the server would still have it.
//   - An acquire that was given up is cancelled, and released if it was granted, in the background (G8).
package engine
