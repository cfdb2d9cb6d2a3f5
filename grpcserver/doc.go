// Package grpcserver is the production shell of a replica.Node: the goroutines, the disk, the clock, the gRPC services and
// the bare connections around it. It decides nothing about locks.
//
//	stream: reader goroutine --+                                   +--> log goroutine  (LogTask.Run, then LogDone)
//	stream: reader goroutine --+--> inbox --> node goroutine ------+--> file goroutine (FileTask.Run, then FileDone)
//	unary call ----------------+              |  the one owner     +--> outbox of a stream --> writer goroutine
//	LogDone, FileDone ---------+              |  of the Node       +--> reply of a unary call
//	                                          +-- one timer, set only while the node has a deadline
//
// The node goroutine takes everything that has arrived, reads the clock after that, lets the node receive it, and flushes
// once. While the log goroutine syncs, the next batch gathers in the node: group commit needs no timer. Nothing polls: an
// idle server without connections wakes up for deadlines only.
//
// A stream comes over gRPC or over a bare connection (package wire), to the same port: the first bytes tell which (bare.go).
//
// Each arrow may wake a thread, which costs more than a request does. So while a client waits for one answer at a time, its stream's
// reader goes the whole way itself (carry.go): it has the node's turn, does the log's task, and sends what comes of it.
//
// What the caller may count on, and what it owes
//
//  1. Open takes the directory for this process, creates a cluster in it if it holds none, and recovers. Serve runs
//     until Stop or a fatal error. Call Stop also if Serve was never called: it gives the directory back.
//  2. Serve accepts connections once the node leads (or is idle as a follower), so a client that connects early waits instead
//     of being refused. The listener may be open before.
//  3. Stop refuses new requests, lets what was taken finish, tells every stream REASON_UNAVAILABLE's status, marks the log as
//     cleanly closed, and closes. It gives up after Options.StopTimeout; the log then lacks its mark, and nothing is lost.
//  4. After a fatal error (a failed write or sync, an entry of a newer version, an invariant) nothing more is sent, and
//     Serve returns the error. The process must then end: only a new one may read what the disk really holds.
//  5. Nothing that a client does or omits blocks the node. What waits to be taken in is limited in bytes (readers
//     wait, and the flow control of TCP, or of gRPC, makes their clients wait); what waits to be sent is limited for each stream and
//     for all of them (a client that does not read its answers is disconnected).
//  6. Server and stream limits guard this process only. What is decided about locks is replicated state: Options.Limits seed
//     a new cluster and are ignored for an existing one.
package grpcserver
