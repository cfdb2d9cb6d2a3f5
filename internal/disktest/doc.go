// Package disktest holds tests only: the real server on disks that fail and on a disk that fills up, by fault injection into
// its system calls (strace) and a small file system of its own (a mounted tmpfs). What it needs and does not find is skipped,
// with the reason.
package disktest
