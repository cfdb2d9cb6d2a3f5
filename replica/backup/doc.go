// Package backup is the file that a server's backup is: how it is written, how it is read, and how it becomes a data directory.
//
//	Node.Backup... parts --> Encoder --> bytes of the file --> Reader --> Restore --> data directory of a new cluster
//
// # The file
//
// A backup is the state at one log position: limits, counters and file records, and the bytes of every file up to the length
// that it had there. Sessions, holds and queues are not in it (core.Backup). Numbers are little-endian.
//
//	 0       8       12    16              32       40      48     56      64
//	+-------+-------+-----+---------------+--------+-------+------+-------+------------+
//	| magic |version| CRC | cluster id 16 | member | index | term | stamp | last token |
//	+-------+-------+-----+---------------+--------+-------+------+-------+------------+
//	 72      80           88            96         104     112     128
//	+-------+------------+-------------+----------+-------+-------+
//	| files | file bytes | state bytes | sessions | locks | zeros |   the CRC is of these 128 bytes, and zero in itself
//	+-------+------------+-------------+----------+-------+-------+
//
//	 0        4      8     12
//	+--------+------+-----+----------------+
//	| length | kind | CRC | payload        |   frames, up to the end of the file
//	+--------+------+-----+----------------+
//
//	kind 1   the next bytes of the state (a snapshot of core's)
//	kind 2   the next bytes of the files, one file after the other, in order of their ids
//	kind 3   the end: SHA-256 of everything before this frame
//
// A frame's CRC-32C covers its offset in the file (8 bytes), length, kind and payload, so that damage is found where it is; the
// SHA-256 covers the whole. Nothing follows the end. A file without it was cut off.
//
// # Contract
//
//  1. The Reader returns nothing that it has not verified, and io.EOF only when everything was there: each frame, each file
//     against the checksum that the lock table keeps of it, the counts, and the whole.
//  2. Its memory is bounded by the state and one frame, whatever the bytes claim.
//  3. Restore makes nothing that a server would accept before it has read to the end.
package backup
