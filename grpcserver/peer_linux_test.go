package grpcserver

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Of a peer that is gone without a word the kernel tells, since a bare connection has no pings, and sent data no other bound.
func TestPeersThatVanishAreNoticed(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		s := start(t, Options{Dir: t.TempDir()})
		defer s.stop()
		over(s)
		s.door.mu.Lock()
		defer s.door.mu.Unlock()
		for c := range s.door.conns {
			raw, err := tcpOf(c).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			option := func(level, name int) int {
				var value int
				if e := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); e != nil || err != nil {
					t.Fatal(e, err)
				}
				return value
			}
			if got := time.Duration(option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond; got == 0 || got > pingAfter+pingTimeout {
				t.Errorf("data may go unacknowledged for %v", got)
			}
			if option(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 1 {
				t.Error("there are no keep-alives")
			}
			idle, interval, probes := option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL), option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
			if got := time.Duration(idle+interval*probes) * time.Second; c.first == nil && got != pingAfter+pingTimeout {
				t.Errorf("keep-alives notice after %d s and %d of %d s", idle, probes, interval)
			}
		}
	})
}
