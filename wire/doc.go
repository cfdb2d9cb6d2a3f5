// Package wire carries the frames of a client's stream over a bare connection: what gRPC's stream does for the same messages, at a
// fraction of its cost for who has one request under way, because nothing stands between a message and the system call.
//
// A connection begins with the client's Preface, by which the server tells it from gRPC's on the same port (those begin with
// "PRI * HTTP/2.0"). Then both sides send messages:
//
//	0        1                 5
//	+--------+-----------------+--------------------------------+
//	| kind   | length          | protobuf message               |
//	| 1 byte | 4, big endian   | length bytes                   |
//	+--------+-----------------+--------------------------------+
//	kind 1, frame:  a dlm.v1.ClientFrame from the client, a dlm.v1.ServerFrame from the server, hello first
//	kind 2, end:    a google.rpc.Status, the server's last word: why it ends the stream
//
// Either side may also just close the connection; what was asked and not answered is asked again over the next, as ever. A client that
// closes its half alone is gone too. There are no checksums here, nor pings: TCP has its own, the log and the files have theirs.
//
// What the caller may count on, and what it owes
//
//  1. Send and Recv may be called by two goroutines at once; Send and End by any number, Recv by one.
//  2. Recv takes memory for what has arrived, about twice that at most, whatever a header announces, and refuses lengths above its limit.
//  3. Nobody waits for ever but by the caller's choice: Close of the connection ends all calls.
//  4. A Conn is of no use after an error.
package wire
