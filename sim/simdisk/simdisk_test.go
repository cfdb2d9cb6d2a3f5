package simdisk

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"dlm/wal/vfs"
)

func create(t *testing.T, d *Disk, name string) vfs.File {
	t.Helper()
	f, err := d.FS().Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, f vfs.File, off int64, p []byte) {
	t.Helper()
	if _, err := f.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, d *Disk, name string) []byte {
	t.Helper()
	f, err := d.FS().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && size > 0 {
		t.Fatal(err)
	}
	return b
}

// TestPowerCut: what was synced stays; of the rest each outcome comes up.
func TestPowerCut(t *testing.T) {
	oldBytes, newBytes := bytes.Repeat([]byte{1}, 1024), bytes.Repeat([]byte{2}, 512)
	var kept, lost, garbled, short int
	for seed := range uint64(100) {
		d := New(rand.NewPCG(seed, 0))
		f := create(t, d, "a")
		write(t, f, 0, oldBytes)
		if err := errors.Join(f.Sync(), d.FS().SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		write(t, f, 512, newBytes)
		write(t, f, 1024, newBytes)
		d.PowerCut()
		if err := f.Sync(); !errors.Is(err, ErrDead) {
			t.Fatal(err)
		}
		got := content(t, d, "a")
		if len(got) < 1536 {
			short++
		}
		if len(got) < 1024 || !bytes.Equal(got[:512], oldBytes[:512]) {
			t.Fatalf("seed %d: what was synced is gone", seed)
		}
		switch {
		case bytes.Equal(got[512:1024], newBytes):
			kept++
		case bytes.Equal(got[512:1024], oldBytes[512:]):
			lost++
		default:
			garbled++
		}
	}
	if min(kept, lost, garbled, short) < 10 {
		t.Fatalf("kept %d, lost %d, garbled %d, short %d of 100", kept, lost, garbled, short)
	}
}

func TestProcessCrashKeepsEverything(t *testing.T) {
	d := New(rand.NewPCG(1, 1))
	write(t, create(t, d, "a"), 3, []byte("x"))
	d.Crash()
	if got := content(t, d, "a"); string(got) != "\x00\x00\x00x" {
		t.Fatalf("%q", got)
	}
}

// TestFailedSync: the bytes can be read, and no later sync writes them.
func TestFailedSync(t *testing.T) {
	lost := 0
	for seed := range uint64(60) {
		d := New(rand.NewPCG(seed, 0))
		f := create(t, d, "a")
		write(t, f, 0, make([]byte, 512))
		if err := errors.Join(f.Sync(), d.FS().SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		write(t, f, 0, []byte("new"))
		d.FailSync(0)
		if err := f.Sync(); !errors.Is(err, ErrInjected) {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if got := content(t, d, "a"); string(got[:3]) != "new" {
			t.Fatalf("%q", got[:3])
		}
		d.PowerCut()
		if got := content(t, d, "a"); string(got[:3]) != "new" {
			lost++
		}
	}
	if lost < 20 {
		t.Fatalf("lost %d of 60", lost)
	}
}

func TestNamesPersistSeparately(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(200) {
		d := New(rand.NewPCG(seed, 0))
		fsys := d.FS()
		if err := fsys.MkdirAll("x/y"); err != nil {
			t.Fatal(err)
		}
		create(t, d, "x/y/a")
		if err := fsys.SyncDir("x/y"); err != nil {
			t.Fatal(err)
		}
		create(t, d, "x/y/b")
		if err := errors.Join(fsys.Rename("x/y/a", "x/y/c")); err != nil {
			t.Fatal(err)
		}
		d.PowerCut()
		names, err := fsys.List("x/y")
		if err != nil {
			t.Fatal(err)
		}
		key := ""
		for _, n := range names {
			key += n
		}
		seen[key]++
	}
	for _, want := range []string{"a", "ab", "c", "bc"} {
		if seen[want] < 20 {
			t.Errorf("%q came up %d times of 200: %v", want, seen[want], seen)
		}
	}
	if len(seen) != 4 {
		t.Error(seen)
	}
}

func TestStopAfter(t *testing.T) {
	d := New(rand.NewPCG(1, 1))
	f := create(t, d, "a")
	d.StopAfter(1)
	write(t, f, 0, []byte("x"))
	if err := f.Sync(); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	if _, err := d.FS().Open("a"); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	d.Crash()
	if _, err := d.FS().Open("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := d.FS().Create("a"); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	if err := d.Flip("a", 0); err != nil || content(t, d, "a")[0] != 'x'^1 {
		t.Fatal(err)
	}
}

// TestWriteSynced: these bytes are durable, and nothing that was written before.
func TestWriteSynced(t *testing.T) {
	lost := 0
	for seed := range uint64(60) {
		d := New(rand.NewPCG(seed, 0))
		f := create(t, d, "a")
		write(t, f, 0, make([]byte, 1536))
		if err := errors.Join(f.Sync(), d.FS().SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		write(t, f, 0, []byte("before"))
		if err := errors.Join(f.WriteSynced([]byte("inside"), 512), f.WriteSynced([]byte("longer"), 2048)); err != nil {
			t.Fatal(err)
		}
		d.PowerCut()
		got := content(t, d, "a")
		if len(got) != 2054 || string(got[512:518]) != "inside" || string(got[2048:]) != "longer" {
			t.Fatalf("%d bytes, %q and then %q", len(got), got[512:518], got[2048:])
		}
		if string(got[:6]) != "before" {
			lost++
		}
	}
	if lost < 20 {
		t.Errorf("what was not synced was lost %d times of 60", lost)
	}
}

// TestFailedWriteSynced: what it wrote is lost as by a failed sync, and a sync of what was written before fails not.
func TestFailedWriteSynced(t *testing.T) {
	lost := 0
	for seed := range uint64(60) {
		d := New(rand.NewPCG(seed, 0))
		f := create(t, d, "a")
		write(t, f, 0, make([]byte, 1024))
		if err := errors.Join(f.Sync(), d.FS().SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		write(t, f, 0, []byte("before"))
		d.FailSync(0)
		if err := f.WriteSynced([]byte("new"), 512); !errors.Is(err, ErrInjected) {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		d.PowerCut()
		got := content(t, d, "a")
		if string(got[:6]) != "before" {
			t.Fatalf("%q", got[:6])
		}
		if string(got[512:515]) != "new" {
			lost++
		}
	}
	if lost < 20 {
		t.Errorf("lost %d of 60", lost)
	}
}

// TestStoppedStaysStopped: a process that has met the end dies of it, whatever the disk is told meanwhile.
func TestStoppedStaysStopped(t *testing.T) {
	d := New(rand.NewPCG(1, 1))
	f := create(t, d, "a")
	d.StopAfter(0)
	if err := f.Sync(); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	d.StopAfter(-1)
	if n, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, ErrStopped) {
		t.Errorf("a write: %d bytes, %v", n, err)
	}
	d.Crash()
	write(t, create(t, d, "b"), 0, []byte("x"))
}
