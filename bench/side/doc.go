// Package side measures lock services side by side: the same load, on the same machine, in one run, in turns.
//
//	Service: a server that is started here      Peer: one way to use it
//	    dlm  ------------------------------------  dlm (the library), dlm, unary calls
//	    etcd, redis, zookeeper, postgres  --------  as their good users use them (in package main)
//
//	for each round: for each workload: for each peer, in an order that turns:  one Cell
//
// # How it measures
//
//  1. Load, latencies and CPU time are those of `dlm bench` (package bench of the product): one loop for all.
//  2. A peer is measured for a few seconds, then the next one, so that a machine that slows down slows all of them. Ratios
//     are taken within a round, and their median and spread are what counts.
//  3. All servers are started once and stay warm (a JVM needs it). Only the one that is measured runs: the others are halted
//     with SIGSTOP meanwhile, so that their housekeeping does not fall into somebody else's time.
//  4. Each server is a durable single node on loopback with its data on the same disk, and client and server share the
//     machine's cores.
//  5. Errors are counted and shown; a cell with errors says so wherever it appears. A service that is not installed is
//     skipped, loudly, in the output and in the results.
package side
