//go:build !linux

package grpcserver

import "net"

// boundUnacknowledged leaves it to the system how long sent data may go without the peer's acknowledgement.
func boundUnacknowledged(*net.TCPConn) {}
