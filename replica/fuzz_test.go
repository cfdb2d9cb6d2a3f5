package replica_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

// FuzzReceive: whatever frame a client sends, the node goes on, gives it an answer for each request that does not wait, and
// serves others.
func FuzzReceive(f *testing.F) {
	frame := func(m *dlmv1.ClientFrame) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(frame(&dlmv1.ClientFrame{Requests: []*dlmv1.Request{acquire(2, 1, "l"), acquire(2, 1, "l"), release(2, 2, "l", 1)}}))
	f.Add(frame(&dlmv1.ClientFrame{Requests: []*dlmv1.Request{appendTo(2, 1, "f", "l", 1, "x"), {Session: 1, Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: make16(9), Replaces: 1}}}}}))
	f.Add(frame(&dlmv1.ClientFrame{Reads: []*dlmv1.Read{{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{}}}, {Op: &dlmv1.Read_GetStatus{}}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &dlmv1.ClientFrame{}
		if m.UnmarshalVT(data) != nil {
			return // the shell ends the stream
		}
		w := newMember(t, replica.Config{})
		other := w.open(1, 1)
		w.open(2, 2)
		if got := w.call(1, acquire(other, 1, "other")); got.GetToken() == 0 {
			t.Fatal(got)
		}
		w.now += time.Millisecond
		w.node.Receive(w.now, 2, m)
		w.settle()
		if err := w.node.Core().Check(); err != nil {
			t.Fatal(err)
		}
		w.advance(200 * time.Millisecond) // keep-alives may wait for company
		answered := len(w.answers(2)) - 1 // the open's
		if most := len(m.GetRequests()) + 1; answered > most {
			t.Fatalf("%d answers to %d requests", answered, most)
		}
		reads := 0
		for _, f := range w.got[2] {
			reads += len(f.GetReads())
		}
		if reads != len(m.GetReads()) {
			t.Fatalf("%d answers to %d reads", reads, len(m.GetReads()))
		}
		w.node.Connect(w.now, 3)
		if got := w.call(3, &dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: make16(77)}}}); got.GetIndex() == 0 && got.GetReason() != dlmv1.Reason_REASON_INVALID {
			t.Fatalf("afterwards somebody else gets %v", got)
		}
		w.restart(true)
	})
}
