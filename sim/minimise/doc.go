// Package minimise makes a plan that fails small: to the few faults and operations that matter.
//
// Contract
//  1. The result breaks the same promise as the plan it came from (run.Same): a smaller plan that breaks another one is not
//     taken. It is another finding, and Outcome.Others holds it.
//  2. The result is one that was run, never a guess: Outcome.Failure is what it brought about.
//  3. It is a function of the plan, the bound on runs and the code under test. No clock, no chance, no order of a map.
//  4. It ends after Options.Runs runs at the latest, with the smallest plan so far; Outcome.Finished says whether it ended
//     because nothing more could be taken away.
//
// How: delta debugging (Zeller's ddmin) over lists (faults, actors, operations), then every field of the configuration and
// of what is left is set to zero or to a rounder number; all that again until a round changes nothing. Then the network's
// rates give way to a list of the messages that they hit, and the list is reduced.
//
//	plan ─> faults after the failure ─> faults ─> actors ─> operations ─> configuration ─> fields ─┐
//	         ^                                                                                     │
//	         └────────────────────── again, while a round made it smaller ─────────────────────────┘
package minimise
