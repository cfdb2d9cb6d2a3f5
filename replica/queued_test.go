package replica_test

import (
	"testing"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

// A waiting acquire that is sent again, on the same connection and on others, is told each time that it waits, writes
// nothing, and is answered once on each connection that is left.
func TestWaiterAsksOnOtherConnections(t *testing.T) {
	m := newMember(t, replica.Config{})
	a, b := m.open(1, 1), m.open(2, 2)
	first := m.call(1, acquire(a, 1, "l"))
	m.send(2, acquire(b, 1, "l"))
	logs := m.logs
	for _, conn := range []uint64{3, 4, 5} {
		m.node.Connect(m.now, conn)
		m.send(conn, acquire(b, 1, "l"))
		m.send(conn, acquire(b, 1, "l"))
		if got := len(m.notices(conn, dlmv1.Notice_KIND_QUEUED)); got != 2 {
			t.Errorf("connection %d was told %d times that the acquire waits, not twice", conn, got)
		}
	}
	if m.logs != logs {
		t.Error("a duplicate of a waiting acquire was logged")
	}
	m.node.Disconnect(4)
	m.call(1, release(a, 2, "l", first.GetToken()))
	for conn, want := range map[uint64]int{2: 2, 3: 1, 4: 0, 5: 1} { // 2 opened the session
		if got := m.answers(conn); len(got) != want {
			t.Errorf("connection %d got %d answers, not %d", conn, len(got), want)
		}
	}
}

// What has the identity of a waiting acquire and is another request takes no effect and gets none of its answers.
func TestWaiterIsNoOther(t *testing.T) {
	m := newMember(t, replica.Config{})
	a, b := m.open(1, 1), m.open(2, 2)
	first := m.call(1, acquire(a, 1, "l"))
	m.send(2, acquire(b, 1, "l"))
	m.node.Connect(m.now, 3)
	if got := m.call(3, acquire(b, 1, "other")); got.GetReason() != dlmv1.Reason_REASON_SEQUENCE_REUSED || got.GetIndex() != 0 {
		t.Errorf("another lock under the same sequence is answered %v", got)
	}
	later := acquire(b, 1, "l")
	later.Instance = 2
	if got := m.call(3, later); got.GetReason() != dlmv1.Reason_REASON_OVERLOADED || got.GetIndex() != 0 {
		t.Errorf("an instance that has not attached yet is answered %v", got)
	}
	m.call(1, release(a, 2, "l", first.GetToken()))
	if got := len(m.answers(3)); got != 2 {
		t.Errorf("who asked for something else got %d answers, not the 2 refusals", got)
	}
}
