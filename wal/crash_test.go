package wal

import (
	"errors"
	"fmt"
	"testing"

	"dlm/sim/simdisk"
)

// start creates and opens; run may then be stopped anywhere.
func (w *world) start() error {
	if err := w.create(); err != nil {
		return err
	}
	return w.open()
}

// restart ends the process or the machine.
func (w *world) restart(power bool) {
	if power {
		w.disk.PowerCut()
	} else {
		w.disk.Crash()
	}
}

// recoverUnderFire opens the store while the power fails after 0, 1, 2, ...
// changes to the disk, until it gets through.
func (w *world) recoverUnderFire(power func() bool) error {
	for n := 0; ; n++ {
		w.disk.StopAfter(n)
		err := w.open()
		if err == nil {
			w.disk.StopAfter(-1)
			return nil
		}
		if errors.Is(err, ErrNoStore) && w.recovered == 0 {
			// Its name was seen and never durable: Create had not returned.
			w.disk.StopAfter(-1)
			if err := w.create(); err != nil {
				return err
			}
			continue
		}
		if !faulty(err) {
			return fmt.Errorf("recovery stopped after %d: %w", n, err)
		}
		w.restart(power())
	}
}

// TestCrashAnywhere stops the disk after each number of changes in turn,
// crashes or cuts the power, and recovers under further cuts; then goes on
// and does it again.
func TestCrashAnywhere(t *testing.T) {
	const steps = 36
	dry := newWorld(1, 1)
	if err := errors.Join(dry.start(), dry.run(steps)); err != nil {
		t.Fatal(err)
	}
	total := dry.disk.Ops()
	if dry.snapshot == 1 || dry.store.log.active.header.number < 5 {
		t.Fatalf("the script is too tame: snapshot %d, segment %d", dry.snapshot, dry.store.log.active.header.number)
	}
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for n := 0; n < total; n += stride {
		for _, power := range []bool{true, false} {
			if !power && n%4 != 0 {
				continue // what a process crash leaves, a power cut may leave too
			}
			if err := crashAt(n, steps, power); err != nil {
				t.Fatalf("stopped after %d of %d changes, power %v: %v", n, total, power, err)
			}
		}
	}
}

func crashAt(n, steps int, power bool) error {
	w := newWorld(uint64(n), 1)
	w.disk.StopAfter(n)
	err := w.create()
	created := err == nil
	if created {
		if err = w.open(); err == nil {
			err = w.run(steps)
		}
	}
	if !faulty(err) {
		return fmt.Errorf("first run: %w", err)
	}
	w.restart(power)
	exists, err := Exists(w.disk.FS(), testDir)
	if err != nil || created && !exists {
		return fmt.Errorf("exists: %v, %w", exists, err)
	}
	if !exists {
		if err := w.create(); err != nil {
			return err
		}
	}
	mixed := func() bool { return power || w.disk.Ops()%3 == 0 }
	if err := w.recoverUnderFire(mixed); err != nil {
		return err
	}
	// Go on, be stopped once more, and come back.
	w.disk.StopAfter(n % 37)
	if err := w.run(steps); !faulty(err) {
		return fmt.Errorf("second run: %w", err)
	}
	w.restart(true)
	if err := w.recoverUnderFire(mixed); err != nil {
		return err
	}
	return w.run(5)
}

func TestFailedSyncOrWrite(t *testing.T) {
	for n := range 60 {
		for _, fault := range []func(*simdisk.Disk, int){(*simdisk.Disk).FailSync, (*simdisk.Disk).FailWrite} {
			w := newWorld(uint64(n), 3)
			if err := w.start(); err != nil {
				t.Fatal(err)
			}
			fault(w.disk, n)
			if err := w.run(60); !errors.Is(err, simdisk.ErrInjected) {
				t.Fatalf("fault %d: %v", n, err)
			}
			_, cut := w.store.Cut(1)
			for _, call := range []error{
				w.store.Append(Batch{}), w.store.Seal(), cut, w.store.Discard(nil), w.store.SyncFiles(),
				w.store.SaveSnapshot(Snapshot{Index: 1 << 20}), w.store.WriteFile(9, 0, nil), w.prepare(),
			} {
				if !errors.Is(call, ErrBroken) || !errors.Is(call, simdisk.ErrInjected) {
					t.Fatalf("fault %d: a broken store says %v", n, call)
				}
			}
			// The process sees what the disk lost, then the power fails.
			w.disk.Crash()
			if err := w.open(); err != nil {
				t.Fatalf("fault %d: %v", n, err)
			}
			w.disk.PowerCut()
			if err := w.recoverUnderFire(func() bool { return true }); err != nil {
				t.Fatalf("fault %d: %v", n, err)
			}
		}
	}
}

// TestFaultsInRecovery fails each sync, write and read of a recovery in turn. Open says so and is tried again, after a crash
// of the process and after a power cut; nothing is lost.
func TestFaultsInRecovery(t *testing.T) {
	for name, fault := range map[string]func(*simdisk.Disk, int){
		"sync": (*simdisk.Disk).FailSync, "write": (*simdisk.Disk).FailWrite, "read": (*simdisk.Disk).FailRead,
	} {
		struck := 0
		for n := 0; ; n++ {
			w := newWorld(uint64(n), 3)
			if err := errors.Join(w.start(), w.run(40)); err != nil {
				t.Fatal(err)
			}
			w.restart(n%2 == 0)
			fault(w.disk, n)
			store, _, err := Open(w.disk.FS(), testDir, Options{SegmentBytes: 4096})
			if err == nil {
				_ = store.Close()
				fault(w.disk, -1)
				break // it has fewer than n
			}
			struck++
			if !errors.Is(err, simdisk.ErrInjected) {
				t.Fatalf("%s %d failed, and Open says %v", name, n, err)
			}
			w.restart(n%3 == 0)
			if err := errors.Join(w.open(), w.run(5)); err != nil {
				t.Fatalf("after %s %d failed in a recovery: %v", name, n, err)
			}
		}
		t.Logf("%d %ss of a recovery failed", struck, name)
		if struck < 2 {
			t.Errorf("only %d %ss failed", struck, name)
		}
	}
}
