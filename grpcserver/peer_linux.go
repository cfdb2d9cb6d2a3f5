package grpcserver

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// boundUnacknowledged bounds how long sent data may go without the peer's acknowledgement: meanwhile keep-alives are not sent.
func boundUnacknowledged(tcp *net.TCPConn) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) {
		most := int((pingAfter + pingTimeout) / time.Millisecond)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, most)
	})
}
