// Package rig is what the goal programs and the crash test have in common: ways to break the path between a client and a
// server, server processes that can be killed, and a ledger that knows what must be true afterwards.
//
//	client library ── Tap ── gRPC ── TCP ── Proxy ── TCP ── Server (a process)
//	                   │                      │
//	      requests and answers lost,     connections cut in mid-frame, silent,
//	      repeated, late, recorded       refused
//
// Without a Tap the library's stream is a bare connection, without gRPC (package wire); a Proxy cuts inside its frames too.
//
//	Ledger: every token that was granted and every append that was tried, with what the service said to it
//	Report: what is injected and what is seen, scenario by scenario, for a reader
//
// What counts here is counted where it happens: a Tap or a Proxy says how often it struck, and a scenario that injected
// nothing fails. Times are monotonic. Nothing in here knows what a lock promises, except the Ledger.
package rig
