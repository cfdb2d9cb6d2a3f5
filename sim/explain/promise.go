package explain

import "dlm/sim/run"

// promises says in a sentence what each number means. The contract itself is in the README.
var promises = map[string]string{
	"G1":  "mutual exclusion: at each position of the log a lock has one exclusive holder, or shared holders only",
	"G2":  "lease safety: no two running clients are told by their libraries, at the same instant, that they hold conflicting locks",
	"G3":  "fencing: tokens grow with every grant and are never reused; a fenced operation is accepted only under the current hold",
	"G4":  "exactly once: a request takes effect at most once, and every reply to it is the same",
	"G5":  "durability: what was acknowledged survives crashes and power cuts, and damage is refused, never served",
	"G6":  "linearizability: every operation and every read appears to happen at one instant between its call and its reply",
	"G7":  "fairness: conflicting waiters are granted in the order in which they entered the log",
	"G8":  "no orphans: no lock stays held that nobody knows of, and a session that ends takes its holds and places along",
	"G9":  "never early: no session ends before its TTL has passed since its last acknowledged renewal",
	"G10": "bounded: every queue, table, name and message has a limit, and past it the caller gets a clear error",
	"L1":  "every call completes or fails by its deadline, and everything comes to rest once all is healed",
	"L2":  "every live waiter is granted within (waiters before it + 1) x (TTL + lock-delay + a small constant)",
	"L3":  "no lost wake-up: a compatible head of a queue never waits, but for a running lock-delay or revoke",
	"L4":  "a client that renews over a healthy path never loses its session, unless it is revoked",
	"L5":  "a leader exists within a few election timeouts",

	"sim":     "the simulator itself is at fault, or was given a plan that it cannot run",
	run.Panic: "the code under test (or the simulator) panicked",
	run.Died:  "the process of the simulation died or hung",
}

// Promise says in words what a failure's number stands for.
func Promise(number string) string {
	if s, ok := promises[number]; ok {
		return s
	}
	return "a number that nobody described"
}
