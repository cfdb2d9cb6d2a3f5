// Package figures measures the whole system on this machine: the real server and the real client over loopback and a
// disk that is synced. It holds benchmarks only; `make figures` runs them.
package figures
