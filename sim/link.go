package sim

// The world as the network's handler: it hands what arrives to the processes.

// ClientConnected implements netsim.Handler.
func (w *World) ClientConnected(client int, conn uint64) {
	w.mark("connected", uint64(client), conn, 0)
	w.scribe.connection(client, conn, true)
	w.clients[client].deliver(clientEvent{conn: conn, connected: true})
}

// ClientDisconnected implements netsim.Handler.
func (w *World) ClientDisconnected(client int, conn uint64) {
	w.mark("disconnected", uint64(client), conn, 0)
	w.scribe.connection(client, conn, false)
	w.clients[client].deliver(clientEvent{conn: conn, disconnected: true})
}

// ClientReceive implements netsim.Handler.
func (w *World) ClientReceive(client int, conn uint64, frame []byte) {
	w.mark("arrives at client", uint64(client), conn, uint64(len(frame)))
	w.clients[client].deliver(clientEvent{conn: conn, frame: frame})
}

// ServerAccept implements netsim.Handler.
func (w *World) ServerAccept(_ int, conn uint64) bool {
	if w.server.up {
		w.server.deliver(serverEvent{conn: conn, connect: true})
	}
	return w.server.up
}

// ServerDisconnected implements netsim.Handler.
func (w *World) ServerDisconnected(_ int, conn uint64) {
	if w.server.up {
		w.server.deliver(serverEvent{conn: conn, disconnect: true})
	}
}

// ServerReceive implements netsim.Handler.
func (w *World) ServerReceive(_ int, conn uint64, frame []byte) {
	w.mark("arrives at server", conn, uint64(len(frame)), 0)
	if w.server.up {
		w.server.deliver(serverEvent{conn: conn, frame: frame})
	}
}
