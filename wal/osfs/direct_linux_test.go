package osfs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"dlm/wal/vfs"
)

func sectors(n int, fill byte) []byte { return bytes.Repeat([]byte{fill}, n*vfs.SectorSize) }

// Through the page cache or past it, what was written is there, and what lies around it stays.
func TestWriteSynced(t *testing.T) {
	dir := t.TempDir()
	made, err := New().Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	f := made.(*file)
	want := sectors(64, '.')
	if _, err := f.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	// It has another name when it is first written to in this way.
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	direct := false
	for i, w := range []struct {
		sector, skip int
		data         []byte
	}{
		{3, 0, sectors(1, 'a')},
		{8, 0, sectors(8, 'b')},
		{40, 0, sectors(3, 'c')},
		{50, 7, []byte("not whole sectors")},
		{51, 0, []byte("nor this")},
		{63, 0, sectors(4, 'd')},                         // past the end
		{70, 0, sectors(directMost/vfs.SectorSize, 'e')}, // as large as may be
		{70, 0, sectors(directMost/vfs.SectorSize+1, 'f')},
	} {
		off := w.sector*vfs.SectorSize + w.skip
		if err := f.WriteSynced(w.data, int64(off)); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		if end := off + len(w.data); end > len(want) {
			want = append(want, make([]byte, end-len(want))...)
		}
		copy(want[off:], w.data)
		got, err := os.ReadFile(filepath.Join(dir, "b"))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("after write %d: %v, %d bytes, want %d", i, err, len(got), len(want))
		}
		own := make([]byte, len(want))
		if _, err := f.ReadAt(own, 0); err != nil || !bytes.Equal(own, want) {
			t.Fatalf("after write %d, read through the same handle: %v", i, err)
		}
		direct = direct || f.direct.state == directOpen
	}
	if !direct {
		t.Log("the file system of the temporary directory knows no direct writes: only the other way was tried")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSynced(sectors(1, 'x'), 0); err == nil {
		t.Error("a closed file was written to")
	}
}

// A file system in memory need not know direct writes, and a file that cannot be written to says so.
func TestWriteSyncedElsewhere(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "osfs")
	if err != nil {
		t.Skip("SKIPPED: no file system in memory: ", err)
	}
	defer os.RemoveAll(dir)
	f, err := New().Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.WriteSynced(sectors(2, 'a'), 0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2*vfs.SectorSize+1)
	if n, err := f.ReadAt(got, 0); err != io.EOF || !bytes.Equal(got[:n], sectors(2, 'a')) {
		t.Errorf("%d bytes, %v", n, err)
	}
	looked, err := ReadOnly().Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer looked.Close()
	if err := looked.WriteSynced(sectors(1, 'b'), 0); err == nil {
		t.Error("a file that was opened to read was written to")
	}
}
