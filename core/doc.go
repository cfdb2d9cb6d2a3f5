// Package core is the lock table: a pure, deterministic state machine.
package core
