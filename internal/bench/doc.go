// Package bench loads a running server through the client library and says what it did: operations a second, latencies,
// errors, and CPU time on both sides. `dlm bench` is its command line.
//
//	Options --> world: connections, sessions --> workers: one operation after the other --> Run, Run, Run --> Report
//
// # How it measures
//
//  1. A closed loop (Rate 0) starts an operation when the worker's last one ended: its latencies say nothing of waiting
//     for a worker, its rate is what that many callers get. With a fixed Rate each operation has a time at which it should
//     start, and its latency counts from then, however late its worker is: a stall is seen by all operations that it held up.
//  2. Each run has a warm-up that is not counted. The report's figures are medians over the runs, with least and most.
//  3. Durability, keep-alives, duplicate detection and checksums are whatever the server does always: nothing is switched off.
//  4. An operation that fails is counted under its reason, and not in rate and latencies.
package bench
