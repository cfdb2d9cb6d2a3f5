package grpcserver

import (
	"testing"
	"testing/synctest"
	"time"
)

// A client whose connection has ended is gone, whatever it still waits for: that may never be answered over this connection.
func TestClientGoesAwayWhileItWaits(t *testing.T) {
	overBothInBubbles(t, func(t *testing.T, over transport) {
		s := startInMemory(t, Options{Dir: t.TempDir()})
		c, cc := s.connect()
		defer cc.Close()
		holder, waiter := must(t, c, open("a", time.Hour)).GetSession(), must(t, c, open("b", time.Hour)).GetSession()
		must(t, c, acquire(holder, 1, "x", nil))
		st := over(s)
		st.send(acquire(waiter, 1, "x", nil))
		st.recv() // queued
		again := over(s)
		again.send(acquire(waiter, 1, "x", nil))
		again.recv() // the same place, and the answer goes here
		st.leave()
		synctest.Wait()
		if n := s.share.streams.Load(); n != 1 {
			t.Errorf("%d streams are there, want the one that goes on", n)
		}
		s.stop()
	})
}
