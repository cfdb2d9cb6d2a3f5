package replica_test

import (
	"strings"
	"testing"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

// roomy is a member with reserves that fit its segments of 16 KiB.
func roomy(t *testing.T) *member {
	return newMember(t, replica.Config{
		SnapshotBytes: 1 << 20, ReserveBytes: 20 << 10, LogReserveBytes: 8 << 10, MarkDelay: time.Hour,
	})
}

func (m *member) reason(want dlmv1.Reason, r *dlmv1.Request) *dlmv1.Answer {
	m.t.Helper()
	a := m.call(1, r)
	if a.GetReason() != want || (want == dlmv1.Reason_REASON_DISK_FULL) != (a.GetIndex() == 0) {
		m.t.Fatalf("answered %v, want %v", a, want)
	}
	return a
}

func (m *member) level(want replica.DiskLevel) {
	m.t.Helper()
	if d := m.node.Disk(); d.Level != want {
		m.t.Fatalf("the disk is %v, want %v: %+v", d.Level, want, d)
	}
}

func renewal(session, seq uint64, lock string, token uint64) *dlmv1.Request {
	return &dlmv1.Request{Session: session, Instance: 1, Sequence: seq, Watermark: seq, Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: lock, Token: token}}}
}

// read asks and gives the one answer.
func (m *member) read(conn uint64, r *dlmv1.Read) *dlmv1.ReadAnswer {
	m.t.Helper()
	m.now += time.Millisecond
	before := len(m.got[conn])
	m.node.Receive(m.now, conn, &dlmv1.ClientFrame{Reads: []*dlmv1.Read{r}})
	m.settle()
	for _, f := range m.got[conn][before:] {
		for _, a := range f.GetReads() {
			return a
		}
	}
	m.t.Fatalf("no answer to %v", r)
	return nil
}

// The disk fills up: first appends are refused, then what else grows, at last everything; each ends by itself when there is
// room, and nothing that was acknowledged is lost.
func TestDiskFillsUp(t *testing.T) {
	const ok, full = dlmv1.Reason_REASON_OK, dlmv1.Reason_REASON_DISK_FULL
	m := roomy(t)
	session := m.open(1, 'a')
	token := m.call(1, acquire(session, 1, "x")).GetToken()
	m.reason(ok, appendTo(session, 2, "f", "x", token, "hello "))
	m.level(replica.DiskOK)

	m.disk.SetFree(10 << 10)
	m.advance(2 * time.Second)
	m.reason(ok, acquire(session, 3, "y")) // nobody has looked at the disk
	m.call(1, appendTo(session, 4, "f", "x", token, "world"))
	m.advance(time.Second)
	m.level(replica.DiskTight)
	if a := m.reason(full, appendTo(session, 5, "f", "x", token, "!")); !strings.Contains(a.GetDetail(), "10240 bytes are free") {
		t.Errorf("the refusal says %q", a.GetDetail())
	}
	m.reason(ok, acquire(session, 6, "z"))

	// Renewals use the log up, and the segment that was made ahead; no other one fits.
	m.disk.SetFree(0)
	seq := uint64(7)
	renew := func() *dlmv1.Answer {
		seq++
		m.send(1, renewal(session, seq, "x", token))
		m.advance(200 * time.Millisecond)
		all := m.answers(1)
		return all[len(all)-1]
	}
	for m.node.Disk().Level == replica.DiskTight {
		if a := renew(); a.GetReason() != ok {
			t.Fatalf("on a tight disk: %v", a)
		}
	}
	m.level(replica.DiskLow)
	m.reason(full, acquire(session, 998, "w"))
	low := 0
	for ; m.node.Disk().Level == replica.DiskLow; low++ {
		if a := renew(); m.node.Disk().Level == replica.DiskLow && a.GetReason() != ok {
			t.Fatalf("on a low disk: %v", a)
		}
	}
	if low < 10 {
		t.Errorf("only %d renewals in the log's reserve", low)
	}
	m.level(replica.DiskFull)
	m.reason(full, release(session, 1000, "x", token)) // it is recorded nowhere, and may come again

	m.disk.SetFree(-1)
	m.advance(2100 * time.Millisecond)
	m.level(replica.DiskOK)
	m.reason(ok, appendTo(session, 999, "f", "x", token, "!"))
	m.reason(ok, release(session, 1000, "x", token))
	m.restart(true)
	if f, found := m.node.Core().File("f"); !found || f.Length != uint64(len("hello world!")) {
		t.Errorf("the file is %+v", f)
	}
}

// An append that is in the log and does not fit into its file waits there; reads of files are refused meanwhile.
func TestLoggedAppendWaitsForRoom(t *testing.T) {
	m := roomy(t)
	session := m.open(1, 'a')
	token := m.call(1, acquire(session, 1, "x")).GetToken()
	m.disk.SetFree(0) // behind the node's back
	if a := m.call(1, appendTo(session, 2, "f", "x", token, "hello")); a.GetReason() != dlmv1.Reason_REASON_OK {
		t.Fatal(a)
	}
	m.level(replica.DiskTight)
	read := &dlmv1.Read{Id: 1, Op: &dlmv1.Read_ReadFile{ReadFile: &dlmv1.ReadFile{File: "f"}}}
	if a := m.read(1, read); a.GetReason() != dlmv1.Reason_REASON_DISK_FULL {
		t.Fatal(a)
	}
	m.disk.SetFree(-1)
	m.advance(1100 * time.Millisecond)
	m.level(replica.DiskOK)
	if a := m.read(1, read); a.GetReason() != dlmv1.Reason_REASON_OK || string(a.GetData()) != "hello" {
		t.Fatal(a)
	}
}

// A snapshot that does not fit is given up, and taken when there is room.
func TestSnapshotDoesNotFit(t *testing.T) {
	m := newMember(t, replica.Config{SnapshotBytes: 4 << 10, ReserveBytes: 20 << 10, LogReserveBytes: 2 << 10})
	session := m.open(1, 'a')
	before := m.node.Stats().SnapshotIndex
	m.disk.SetFree(0)
	for i := range uint64(10) {
		m.reason(dlmv1.Reason_REASON_OK, acquire(session, 1+i, strings.Repeat("x", int(1+i))))
	}
	m.level(replica.DiskTight)
	if got := m.node.Stats().SnapshotIndex; got != before {
		t.Fatalf("a snapshot at %d without room for it", got)
	}
	m.disk.SetFree(-1)
	m.advance(3 * time.Second)
	m.level(replica.DiskOK)
	if got := m.node.Stats().SnapshotIndex; got <= before {
		t.Fatalf("no snapshot after %d, and there is room again", got)
	}
}

// A node that is told to stop does not wait for room.
func TestStopOnAFullDisk(t *testing.T) {
	m := roomy(t)
	session := m.open(1, 'a')
	m.disk.SetFree(0)
	for i := uint64(1); m.node.Disk().Level != replica.DiskFull; i++ {
		m.send(1, acquire(session, i, "x"))
		m.send(1, &dlmv1.Request{Session: session, Instance: 1, Sequence: 10_000 + i, Watermark: 10_000 + i, Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}})
		m.advance(200 * time.Millisecond)
	}
	m.node.Stop()
	m.settle()
	if !m.node.Idle() {
		t.Error("it waits")
	}
}
