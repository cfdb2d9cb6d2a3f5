package grpcserver

import (
	"sync"
	"testing"
	"testing/synctest"

	dlmv1 "dlm/api/dlm/v1"
)

func TestInboxKeepsOrderAndWakesOnce(t *testing.T) {
	b := newInbox(1 << 20)
	var spare []event
	for round := range 3 {
		for i := range uint64(5) {
			b.put(event{kind: eventDisconnect, conn: i})
		}
		if len(b.wake) != 1 {
			t.Fatalf("round %d: %d wake-ups, want 1", round, len(b.wake))
		}
		got := b.take(spare)
		for i, e := range got {
			if e.conn != uint64(i) {
				t.Fatalf("round %d: event %d is of connection %d", round, i, e.conn)
			}
		}
		if len(got) != 5 || len(b.wake) != 0 {
			t.Fatalf("round %d: %d events, %d wake-ups left", round, len(got), len(b.wake))
		}
		spare = got
	}
}

func TestInboxLimitsFramesAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frame := &dlmv1.ClientFrame{Reads: []*dlmv1.Read{{Id: 1}}}
		b := newInbox(2 * frameCost(frame))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { b.put(event{kind: eventFrame, frame: frame}) })
		}
		synctest.Wait()
		if got := b.take(nil); len(got) != 2 {
			t.Fatalf("%d frames were let in, want 2", len(got))
		}
		synctest.Wait()
		b.put(event{kind: eventLogDone}) // the node must learn of it, however full the inbox is
		if got := b.take(nil); len(got) != 3 {
			t.Fatalf("%d events after the first take, want 2 frames and the LogDone", len(got))
		}
		synctest.Wait()
		b.put(event{kind: eventFrame, frame: frame})
		wg.Go(func() {
			if b.put(event{kind: eventFrame, frame: frame}) {
				t.Error("a put that was waiting when the inbox closed says that it was taken")
			}
		})
		synctest.Wait()
		if late := b.close(); len(late) != 2 {
			t.Errorf("%d events were left, want 2", len(late))
		}
		wg.Wait()
		if b.put(event{kind: eventStop}) {
			t.Error("a put after close says that it was taken")
		}
	})
}
