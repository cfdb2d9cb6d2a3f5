package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fillDirectory makes the data directory of a server that was stopped: with snapshots, a lock, files.
func fillDirectory(t *testing.T, dir string) {
	t.Helper()
	addr, stop := startServerOn(t, dir)
	if code, out := shell(t, addr, t.TempDir(), `
		set -e
		for i in 1 2 3; do head -c 40000 /dev/urandom | dlm append a file; done
		dlm append a late --data x
		dlm acquire held --ttl 1h`); code != 0 {
		t.Fatal(out)
	}
	stop()
}

// digest is of everything in a directory: names, times, bytes.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Mode(), info.ModTime().UnixNano(), info.Size())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			h.Write(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func readWAL(t *testing.T, dir string, code int) walView {
	t.Helper()
	before := digest(t, dir)
	p := start(t, "127.0.0.1:1", "debug", "wal", dir, "-o", "json")
	p.end(code, "")
	if digest(t, dir) != before {
		t.Error("the directory was changed")
	}
	var v walView
	if err := json.Unmarshal([]byte(p.text()), &v); err != nil {
		t.Fatalf("%v in %s", err, p.text())
	}
	return v
}

func TestDebugWAL(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	fillDirectory(t, dir)
	v := readWAL(t, dir, 0)
	if !v.OK || v.State == nil || !v.State.Sealed || v.State.Locks != 1 || v.State.Files != 2 || v.State.LastToken == 0 ||
		len(v.Snapshots) != 1 || len(v.Segments) == 0 || len(v.Files) == 0 || v.Files[0].Name != "file" {
		t.Errorf("got %+v, state %+v", v, v.State)
	}
	start(t, "127.0.0.1:1", "debug", "wal", dir).end(0, "it was stopped in order")
	start(t, "127.0.0.1:1", "debug", "wal", dir, "--records").end(0, `acquire "held", exclusive`)

	_, stop := startServerOn(t, dir)
	start(t, "127.0.0.1:1", "debug", "wal", dir).end(exitFailed, fmt.Sprintf("is held by process %d: stop that server first", os.Getpid()))
	stop()
	start(t, "127.0.0.1:1", "debug", "wal", t.TempDir()).end(exitAbsent, "is no data directory of a server")
	start(t, "127.0.0.1:1", "debug", "wal", dir+"/nothing").end(exitAbsent, "is no data directory of a server")
	start(t, "127.0.0.1:1", "debug", "wal").end(exitUsage, "one directory is needed")
}

// Damage anywhere is found, with its place; a server refuses the same directory, or the file.
func TestDebugWALFindsDamage(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "data")
	fillDirectory(t, whole)
	v := readWAL(t, whole, 0)
	segment := v.Segments[len(v.Segments)-1]
	for _, c := range []struct {
		name, file string
		at, found  int64
	}{
		{"the log", segment.File, 512 + 20, 512},
		{"the log's head", segment.File, 100, 12},
		{"the snapshot", v.Snapshots[0].File, 70, 12},
		{"a data file", v.Files[0].File, 5000, 4096},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, c.file)
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b[c.at] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			v := readWAL(t, dir, exitDamaged)
			if v.OK || len(v.Damage) != 1 || v.Damage[0].File != name || v.Damage[0].Offset != c.found || v.Damage[0].Advice == "" {
				t.Errorf("got %+v", v.Damage)
			}
			start(t, "127.0.0.1:1", "debug", "wal", dir).end(exitDamaged, "DAMAGED: "+name)
		})
	}
	t.Run("an unfinished batch is none", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, segment.File)
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[segment.Used:], bytes.Repeat([]byte("torn"), 100))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		v := readWAL(t, dir, 0)
		if last := v.Segments[len(v.Segments)-1]; last.State != "torn" || v.State.TornBytes != 400 {
			t.Errorf("got %+v, %+v", last, v.State)
		}
		if strings.Contains(fmt.Sprint(v.Damage), "torn") {
			t.Error(v.Damage)
		}
	})
}
