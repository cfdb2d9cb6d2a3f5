package simdisk

import (
	"errors"
	"math/rand/v2"

	"dlm/wal/vfs"
)

// Errors of operations on a faulty disk.
var (
	ErrStopped  = errors.New("simdisk: stopped")          // after StopAfter ran out
	ErrDead     = errors.New("simdisk: handle is dead")   // from before the last crash
	ErrInjected = errors.New("simdisk: injected failure") // FailSync, FailWrite
)

type Disk struct{ rng rand.Source }

func New(rng rand.Source) *Disk { return &Disk{rng: rng} }

func (d *Disk) FS() vfs.FS { return nil }

// Crash ends the process: what was not synced stays, handles die.
func (d *Disk) Crash() {}

// PowerCut also loses what was not synced, sector by sector.
func (d *Disk) PowerCut() {}

// StopAfter lets n more changing operations pass; everything after fails.
func (d *Disk) StopAfter(n int) {}

// Ops counts the changing operations so far.
func (d *Disk) Ops() int { return 0 }

// FailSync makes one sync fail, after n more that succeed.
func (d *Disk) FailSync(n int) {}

// FailWrite makes one write fail, after n more that succeed.
func (d *Disk) FailWrite(n int) {}

// Flip turns one bit of a file over, on the medium and in the cache.
func (d *Disk) Flip(name string, bit int64) error { return nil }
