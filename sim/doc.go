// Package sim is a simulated world: the real server node (replica on wal) on a simulated disk, and several of the real
// client engines, connected by a simulated network, in one thread of virtual time; and checkers that watch them.
//
// Contract
//
//  1. A run is a Plan: configuration, workload and faults. Expand makes one from a seed. The same plan gives the same run,
//     event for event, in any process: World.Hash is equal.
//
//  2. One world at a time per process, stepped by one goroutine: raft draws from crypto/rand.Reader, and the runner puts
//     World.Entropy there.
//
//  3. The world reads no clock, no global randomness, and ranges over no map. Whoever runs it may.
//
//  4. Time passes between the operations of a server's disk tasks: log and files take turns at every one of them, and a crash
//     finds both in the midst of their work (Config.Interleave, diskwork.go). The node itself does a step at one instant.
//
//  5. The checkers share nothing with the code under test but the messages: they recompute what must be from what went
//     over the wire and into the log. Each failure names the number of the promise (G1 ... G10, L1 ...) that was broken.
//
//  6. A run ends by healing: no more faults, every call must end, every queue must drain, every lock must come free.
//
//  7. Probes are rare situations that random plans have to meet (Probes, prober). They decide nothing about a run; a batch
//     that never meets one fails, because it does not test what it seems to.
//
//  7. A Recorder that is attached gets what happens, each event with the events that brought it about. It changes nothing: the
//     hash is over bytes of its own. Without one, nothing is recorded and nothing is paid for but a nil check.
//
//     Plan --> World: [ client engine + actors ] x n <== netsim ==> [ replica.Node + wal.Store ] on simdisk
//     | Held(), answers, calls                     | entries and outputs, state hashes
//     v                                            v
//     leaseChecker, replyChecker, sessionGuard       logChecker, twinChecker, drainWatch   --> Failure{G2, ...}
//     World.History -> package linear                ackedAppends: the bytes on the disk
package sim
