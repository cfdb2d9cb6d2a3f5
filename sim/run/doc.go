// Package run is how the simulator is run: one plan in this process, or many seeds over child processes. The world itself
// (package sim) has no clock, no goroutine and no operating system; all that stands here.
//
//	Expand(seed) ─┐
//	plan file ────┼─> Plan ──> Run ──> Result (hash, counts, failure) ──> explain.Report
//	rapid ────────┘              └──── one at a time in a process
//	seeds A-B ──> Pool ──> child processes, each with a Serve loop ──> Results in the order in which they end
//
// Contract
//  1. Run runs one plan at a time per process: raft draws from the process-wide crypto/rand.Reader, where the run puts a
//     seeded one. Run waits for its turn. To use more cores, use more processes (Pool).
//  2. A panic in the world or in the code under test is a failure of the run, not of the process. A process that dies or
//     hangs all the same is a failure of its seed: the Pool says so and goes on with another process.
//  3. What a Result holds depends on the plan alone, never on the clock, the machine or other runs.
//  4. A plan file that is not exactly what this version reads is refused with what is wrong.
package run
