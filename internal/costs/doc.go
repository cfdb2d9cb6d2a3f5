// Package costs measures what one operation costs in each layer of a server, without a network and without waiting for a
// disk. It holds benchmarks, and a test that compares what they allocate with what is recorded:
//
//	go test ./internal/costs -run '^$' -bench .     nanoseconds, bytes and allocations; for CPU profiles too
//	make benchcheck                                 fails if an operation allocates other than testdata/costs.tsv says
//	make benchcheck RECORD=1                        writes that file anew
//
// Times depend on the machine and on what else it does; allocations don't, so they can be checked anywhere. What is
// measured stands in workloads: each makes a table or a node once, and then does steps of a fixed number of operations.
package costs
