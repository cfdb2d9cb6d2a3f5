// Package goals holds the five programs that show, against a real server over a real network, what the service survives:
//
//	1 packet loss    2 duplicates    3 lock timeout    4 fencing    5 server crash
//
// Each is a list of scenarios. A scenario breaks something with package rig, says what it broke (nothing: it fails) and what
// it saw, and compares that with what the service promises. The programs use the client library as applications do; where a
// goal needs somebody who ignores the library's caution it asks the service raw.
//
// Measuring time fairly: all times are monotonic. What must not happen early is exact. What must not happen late is allowed
// the lateness that a stopwatch beside it has seen on this machine at that time, so that a loaded machine fails nobody; and
// a scenario that needs the machine to be awake is repeated when the machine was not.
package goals
