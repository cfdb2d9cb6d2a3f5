package powerfs

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dlm/wal/vfs"
)

// disk is a directory that outlives its processes.
type disk struct {
	t   *testing.T
	dir string
	*FS
}

func newDisk(t *testing.T) *disk {
	d := &disk{t: t, dir: filepath.Join(t.TempDir(), "data")}
	d.kill()
	d.must(d.MkdirAll(d.dir))
	return d
}

// kill begins the next process: what the former has in memory is gone.
func (d *disk) kill() {
	f, err := New(d.dir + "-limbo")
	d.must(err)
	d.FS = f
}

func (d *disk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) name(base string) string { return filepath.Join(d.dir, base) }

func (d *disk) create(base, content string) vfs.File {
	d.t.Helper()
	f, err := d.Create(d.name(base))
	d.must(err)
	_, err = f.WriteAt([]byte(content), 0)
	d.must(err)
	return f
}

func (d *disk) read(base string) string {
	d.t.Helper()
	f, err := d.Open(d.name(base))
	d.must(err)
	size, err := f.Size()
	d.must(err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	d.must(err)
	return string(b)
}

func TestSyncedSurvives(t *testing.T) {
	d := newDisk(t)
	f := d.create("a.tmp", "synced")
	d.must(f.Sync())
	d.must(d.Rename(d.name("a.tmp"), d.name("a")))
	d.must(d.SyncDir(d.dir))
	_, err := f.WriteAt([]byte("SYNCED and longer"), 0)
	d.must(err)
	d.must(f.Sync())
	d.must(f.Truncate(10))
	d.must(f.Sync())
	if got := d.read("a"); got != "SYNCED and" {
		t.Errorf("before the kill: %q", got)
	}
	d.kill()
	if got := d.read("a"); got != "SYNCED and" {
		t.Errorf("after it: %q", got)
	}
	if _, err := d.Open(d.name("a.tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old name: %v", err)
	}
	if _, err := d.Create(d.name("a")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create what is there: %v", err)
	}
}

// What was not synced is lost, mostly: the kernel may write some of it by itself, so each loss is looked for many times.
func TestUnsyncedIsLost(t *testing.T) {
	const rounds = 300
	var noName, oldContent, otherContent, undeleted int
	for range rounds {
		d := newDisk(t)
		f := d.create("a", "old")
		d.must(f.Sync())
		d.must(d.SyncDir(d.dir))
		_, err := f.WriteAt([]byte("new"), 0)
		d.must(err)
		g := d.create("b", "x")
		d.must(g.Sync())
		d.must(d.Remove(d.name("a")))
		d.kill()
		names, err := d.List(d.dir)
		d.must(err)
		if slices.Contains(names, "a") {
			undeleted++
			switch d.read("a") {
			case "old":
				oldContent++
			case "new":
			default:
				otherContent++
			}
		}
		if !slices.Contains(names, "b") {
			noName++
		}
	}
	t.Logf("of %d: name lost %d, removal lost %d, old content %d, garbage %d", rounds, noName, undeleted, oldContent, otherContent)
	if noName < rounds/2 || undeleted < rounds/2 || oldContent < rounds/2 || otherContent == 0 || noName == rounds || undeleted == rounds {
		t.Error("a kill must lose most of what was not synced, and not always all of it")
	}
}

func TestLies(t *testing.T) {
	d := newDisk(t)
	f := d.create("a", "old")
	d.must(f.Sync())
	d.must(d.SyncDir(d.dir))
	d.Lie(Never)
	lost := 0
	for range 50 {
		_, err := f.WriteAt([]byte("new"), 0)
		d.must(err)
		d.must(f.Sync())
		if b, err := os.ReadFile(d.name("a")); err != nil || string(b) != "new" {
			lost++
		}
	}
	if lost == 0 {
		t.Error("a sync that does nothing does something")
	}
}

// What a process reads is what it wrote, synced or not.
func TestReadsWhatWasWritten(t *testing.T) {
	d := newDisk(t)
	f := d.create("a", "")
	var want []byte
	for range 2000 {
		switch rand.IntN(10) {
		case 0:
			n := rand.IntN(5000)
			if n > len(want) {
				want = append(want, make([]byte, n-len(want))...)
			}
			want = want[:n]
			d.must(f.Truncate(int64(n)))
		case 1:
			d.must(f.Sync())
		default:
			b := bytes.Repeat([]byte{byte(rand.Uint32())}, rand.IntN(1500))
			at := rand.IntN(5000)
			if len(b) == 0 {
				continue
			}
			if at+len(b) > len(want) {
				want = append(want, make([]byte, at+len(b)-len(want))...)
			}
			copy(want[at:], b)
			_, err := f.WriteAt(b, int64(at))
			d.must(err)
		}
		if got := d.read("a"); got != string(want) {
			t.Fatalf("%d bytes read, %d written, or other ones", len(got), len(want))
		}
	}
	d.must(f.Sync())
	d.must(d.SyncDir(d.dir))
	d.kill()
	if d.read("a") != string(want) {
		t.Error("after a sync and a kill it reads differently")
	}
}
