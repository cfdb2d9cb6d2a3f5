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
// One batch is on its way to the disk at a time; the next forms meanwhile from whatever arrives (group commit, no timer). Keep-alives
// that come alone wait up to Config.KeepAliveDelay, so that many sessions share one entry.
package replica
