// Package engine is the sans-I/O half of the client library.
package engine
