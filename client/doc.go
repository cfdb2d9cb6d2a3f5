// Package client is the library that applications use to hold locks.
//
//	c, err := client.Dial("127.0.0.1:50051")
//	s, err := c.OpenSession(ctx)
//	l, err := s.Lock(ctx, "reports/daily")
//	defer l.Unlock(ctx)
//	work(l.Context(), l.Token())
//
// A session is what the service knows this program by: it is kept alive in the background, and when that fails for the
// session's TTL all its locks are lost. A lock's token grows with every grant of any lock; whoever guards a resource can
// refuse all tokens below the highest that it has seen (the service does that for its own files, see Lock.Append).
//
// # Contract with the caller
//
//  1. All methods may be called by any number of goroutines at once. Two goroutines that lock the same name in one
//     session queue behind each other in the library.
//  2. Calls block until they are done, the session is lost or ctx ends. Lost packets, broken connections and restarting
//     servers are retried in the background for as long; a caller that wants to hear of them sets a deadline.
//  3. A Lock call that ends with an error leaves nothing behind: its place in the queue is cancelled, a grant that
//     crossed with that is given back.
//  4. Held, and Context not being done, mean that no other client can be told that it has the lock at that instant. Both
//     end before the server can let the lease end (by the cluster's drift bound), whether the network works or not. A
//     process that is paused between asking and acting needs the token: that is what fencing is for.
//  5. After a loss nothing comes back by itself: open a new session, lock again.
//  6. Errors are told apart with errors.Is and the sentinels of this package. An error after the request may have been sent
//     (a deadline, a closed client) does not say that it had no effect.
//  7. Client.Close ends all goroutines. It tries for a moment to close the sessions that are still open; locks that could not
//     be released that way end with the session's TTL.
//
// # How it works
//
// All decisions (sequences, retries, leases, which server) are made by package engine, which neither waits nor reads a
// clock. This package gives it goroutines, a clock and connections:
//
//	Lock, Unlock, ...      tasks        +-------------+  frames   writer --> wire or gRPC
//	(callers' goroutines) ------------> |    loop     | --------> (one per connection)
//	       ^                            |  (owns the  |
//	       |     completions            |   engine)   |  frames   reader <-- wire or gRPC
//	       +--------------------------- |             | <-------- (one per connection)
//	                                    +-------------+
//
// A connection to HOST:PORT is a bare one (package wire). With WithDialOptions, or an address that gRPC resolves, all goes over gRPC;
// backups always do (network.go).
//
// A call that is alone takes a shorter way, without the loop's goroutine and the writer: its own goroutine drives the engine and sends,
// and the reader drives the engine with the answer (visit.go).
//
// The loop never blocks, so an abandoned call always gets its completion at once, and the end of a lease is noticed
// whatever the connections do.
package client
