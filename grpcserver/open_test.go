package grpcserver

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/wal"
)

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		says string
	}{
		{Options{}, "a data directory is needed"},
		{Options{Dir: "x", SnapshotBytes: 1}, "bytes between snapshots must be at least 4096, got 1"},
		{Options{Dir: "x", OutboxBytes: 1 << 20, OutboxesBytes: 1 << 19}, "of all streams must be at least 1048576, got 524288"},
		{Options{Dir: "x", MaxStreams: -1}, "streams must be at least 1, got -1"},
		{Options{Dir: "x", Limits: &dlmv1.Limits{DefaultTtlNanos: 1}}, "core: bad configuration"},
	} {
		if _, err := Open(c.o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
}

// The tokens of a new cluster lie above those of one that was wiped (G3).
func TestTokensBeginAboveTheWallClock(t *testing.T) {
	checkLeaks(t)
	before := uint64(time.Now().UnixMilli()) << 11
	s := start(t, Options{Dir: t.TempDir()})
	defer s.stop()
	c, cc := s.connect()
	defer cc.Close()
	a := must(t, c, acquire(must(t, c, open("a", 0)).GetSession(), 1, "x", nil))
	if after := uint64(time.Now().UnixMilli()+1) << 11; a.GetToken() <= before || a.GetToken() > after {
		t.Errorf("the first token is %d, want one between %d and %d", a.GetToken(), before, after)
	}
	if lastExact := uint64(1) << 53; a.GetToken() > lastExact {
		t.Errorf("token %d is not exact in a float64", a.GetToken())
	}
}

// Damage is refused with the file's name, and the directory is given back.
func TestDamagedDirectory(t *testing.T) {
	checkLeaks(t)
	o := Options{Dir: t.TempDir()}
	start(t, o).stop()
	names, err := filepath.Glob(filepath.Join(o.Dir, "snapshot-*"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(names[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it would be locked
		var damage *wal.DamageError
		if _, err := Open(o); !errors.As(err, &damage) || damage.File != names[0] {
			t.Fatalf("opening a damaged directory: %v", err)
		}
	}
}

func TestListenerFails(t *testing.T) {
	checkLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: t.TempDir(), Listener: l}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(); err == nil || !strings.Contains(err.Error(), "the listener: ") {
		t.Errorf("Serve on a closed listener: %v", err)
	}
	if err := s.Serve(); err == nil {
		t.Error("Serve a second time: no error")
	}
	s.Stop()
	start(t, o).stop()
}

// An id of a session is never one of another session in a directory that was wiped: who knows nothing but the id is told that
// there is no such session.
func TestSessionIDsOfAWipedDirectory(t *testing.T) {
	checkLeaks(t)
	dir := filepath.Join(t.TempDir(), "data")
	before := start(t, Options{Dir: dir})
	c, cc := before.connect()
	first := must(t, c, open("a", 0)).GetSession()
	cc.Close()
	before.stop()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: dir})
	defer s.stop()
	c, cc = s.connect()
	defer cc.Close()
	if second := must(t, c, open("b", 0)).GetSession(); second <= first {
		t.Errorf("session %d after session %d of the directory before", second, first)
	}
	_, err := c.Call(t.Context(), &dlmv1.Request{Session: first, Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: make([]byte, 16), Replaces: 1}}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("an attach to a session of the directory before is answered %v", err)
	}
}
