package replica_test

import (
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

// The file goroutine is busy, here with a read of a slow disk, while the log is cut and the disk is full but for what that gives: it is not
// taken for full.
func TestCutWhileFilesAreBusy(t *testing.T) {
	m := newMember(t, replica.Config{SnapshotBytes: 64 << 10, ReserveBytes: 1, LogReserveBytes: 1, MarkDelay: time.Hour})
	s := m.open(1, 'a')
	g := m.call(1, &dlmv1.Request{Session: s, Instance: 1, Sequence: 1, Watermark: 1, Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l"}}})
	m.call(1, &dlmv1.Request{Session: s, Instance: 1, Sequence: 2, Watermark: 2, Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "f", Lock: "l", Token: g.GetToken(), Data: []byte("x")}}})
	var held *replica.FileTask
	armed := false
	step := func() {
		for {
			e := m.node.Flush(m.now)
			m.ok(e.Err)
			for _, f := range e.Frames {
				m.got[f.Conn] = append(m.got[f.Conn], f.Frame)
			}
			if e.File != nil && armed {
				held = e.File
				m.disk.SetFree(1024) // the disk is full but for what the cut gives
			}
			if e.Log != nil {
				m.node.LogDone(m.now, e.Log.Run(m.st))
			}
			if e.File != nil && !armed {
				res := e.File.Run(m.st)
				_, _, last, ok := e.File.SnapshotPart(&res)
				m.node.FileDone(m.now, res)
				if ok && last {
					armed = true
					m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Reads: []*dlmv1.Read{{Id: 9, Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "f"}}}}})
				}
			}
			if e.Log == nil && e.File == nil {
				return
			}
		}
	}
	seq, after := uint64(3), 0
	for ; m.node.Disk().Level != replica.DiskFull && after < 60; seq++ {
		m.now += time.Millisecond
		m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Requests: []*dlmv1.Request{renewal(s, seq, "l", g.GetToken())}})
		step()
		if held != nil {
			after++
		}
	}
	t.Logf("level %v, %d entries after the cut, %d bytes free", m.node.Disk().Level, after, m.disk.Free())
	if held == nil {
		t.Fatal("no cut")
	}
	if m.node.Disk().Level == replica.DiskFull {
		t.Errorf("everything is refused for lack of room, and four segments wait to be removed")
	}
	m.node.FileDone(m.now, held.Run(m.st))
	m.settle()
	t.Logf("after the discard: level %v, %d bytes free", m.node.Disk().Level, m.disk.Free())
	if m.node.Disk().Level == replica.DiskFull {
		at, _ := m.node.NextTimer()
		t.Errorf("there is room for %d bytes, and all requests are refused for %v more", m.disk.Free(), at-m.now)
	}
}
