// Package house holds no code, only the test that keeps the architecture what ARCHITECTURE.md says it is:
//
//  1. Layers. Each package imports only what rules_test.go allows it, so that the core stays free of gRPC, the engine
//     free of the network, and nothing but commands and tests depends on the simulator.
//  2. Determinism. A package that runs inside the simulator behaves as a function of its inputs: no clock, no
//     randomness but a generator it was given, no goroutine, no channel, no operating system, and no order of a map.
//     Otherwise a failure would not repeat from its seed, and two replicas could apply the same log to different states.
//
// Both look at the files that are compiled into a program; tests may do what they like.
//
//	go list -export ──> packages, their imports ──> layers  ──┐
//	                └─> export data ──> go/types ──> purity ──┴──> file:line: what: why
//
// To add a package, give it a line in rules_test.go; to see that the checks bite, look at testdata: each line there that
// ends in a "want" comment must be refused with those words, and no other line may be.
package house
