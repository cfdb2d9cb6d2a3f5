// Package replica is one member of the cluster as a sans-I/O state machine: etcd's raft.RawNode, the write-ahead log's
// tasks and the lock table, driven by events and clock readings that the caller passes in.
//
//	frames, connects        +-------------------------------------------+
//	----------------------> | Receive: validate, find duplicates, queue |
//	                        |            |                              |
//	Flush(now)              |            v one batch = stamp + requests |   Effects.Log
//	----------------------> | raft.Propose -> storage append ---------- | --------------> log goroutine: write, sync
//	LogDone(now, err)       |            v committed                    |
//	----------------------> | core.Apply -> answers, notices, files --- | --------------> frames to connections
//	FileDone(now, result)   |                                           |   Effects.File
//	----------------------> | reads, snapshots                          | --------------> file goroutine: bytes, snapshots
//	                        +-------------------------------------------+
//
// The caller's duties
//
//  1. One goroutine calls the node. Nothing reaches the outside before Flush; call it after a group of events, and when
//     NextTimer says so.
//  2. Read the clock after the frames of a group have arrived, and pass that reading: a stamp must not be earlier than
//     the arrival of any request in its entry, or clients would count their leases from too late a time (G2). Readings
//     never go back.
//  3. Run Effects.Log and Effects.File, at most one of each at a time, each kind on a goroutine of its own, and hand
//     the outcome back with LogDone and FileDone. Until LogDone no answer of that batch exists: an answer before its sync
//     cannot be expressed.
//  4. Deliver Effects.Frames in order for each connection. A connection that cannot take them is closed, and Disconnect
//     called: clients ask again.
//  5. When Effects.Err is set, stop the process. Nothing is sent after it.
//
// A snapshot of the lock table is taken in slices: each Flush encodes at most Config.SnapshotSlice records, and the next one
// follows when those are written. It is the state at the log position where it was begun, whatever is applied meanwhile.
//
// One batch is on its way to the disk at a time; the next forms meanwhile from whatever arrives (group commit, no timer). Keep-alives
// that come alone wait up to Config.KeepAliveDelay, so that many sessions share one entry.
//
// # A full disk
//
// The node looks at the room that is left after every file task, and when an append comes after a while. What it refuses for
// lack of room it refuses before the log, with REASON_DISK_FULL and index 0: the same request may succeed later.
//
//	DiskTight  less than the reserve is free    appends
//	DiskLow    no next segment, log nearly full appends, opens, acquires, new limits
//	DiskFull   a batch does not fit             everything; the batch waits
//
// What renews or gives back (keep-alive, renew, release, cancel, close, attach, delete, revoke) goes on in the log's own room:
// the rest of the active segment and the one made ahead. What was logged and does not fit elsewhere waits: bytes of appends
// at the head of the file queue (reads of files are refused behind them), a snapshot until its size is free. Every
// Config.SpaceRetry it is tried again, and the node goes on by itself when there is room.
package replica
