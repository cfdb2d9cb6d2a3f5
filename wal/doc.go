// Package wal keeps what a replica must not forget: the raft log, the newest
// snapshot, and the bytes of data files.
//
//	 log goroutine                       file goroutine
//	Append Cut Seal              SaveSnapshot WriteFile SyncFiles ...
//	      |                         |                |
//	      v                         v                v
//	segment-1 segment-2 ...    snapshot-<index>   files/<id>, files/<id>.crc
//	[head|frame|frame|000]     [state at index]   [bytes] [slots, CRC per block]
//
// # Contract with its caller
//
//  1. One process has the directory (osfs.Lock). In it, Append, Cut and Seal
//     belong to one goroutine, all other calls of a Store to one other, or to
//     the same; Close comes last.
//  2. What Append was given is durable when it returns nil, all of it. If it
//     fails, or the process ends before, all or nothing of that batch will be
//     there after Open; never a part, never with a later one and without it.
//  3. After any error of a call that writes, the store is broken: each later
//     call returns ErrBroken and the process has to stop. Only Open finds out
//     what the disk holds. Errors of ReadFile break nothing.
//  4. What Open returns is durable. Raft must not have seen anything else.
//  5. A snapshot is saved after SyncFiles, if its state counts on files; Cut
//     comes after SaveSnapshot.
//  6. After Open, RecoverFile is called for each file of the snapshot's state
//     before anything else touches it; then the log's entries write the rest
//     again. A file not named so begins anew, empty.
//  7. What is missing or different is a *DamageError with file, offset and
//     advice. Nothing damaged is ever returned.
//
// # The log
//
// A segment is a file of zeros with a head in its first sector: whose it is,
// its number and salt, and raft's hard state when it began. A batch is one
// frame. It begins on a sector boundary, so writing it touches no sector that
// is durable already, and its CRC covers segment, offset and length, so that
// nothing but this frame in this place is valid. A segment gets its name when
// head and zeros are durable: a segment with a bad head is damage, never an
// accident. Numbers are not used twice.
//
// Recovery (Open) reads the newest snapshot, then the segments from the last
// one down as far as they are there; the lowest must begin at or before the
// snapshot. In all segments but the last every frame must be good, up to
// where the successor's head says that they end. In the last one the first
// bad frame is the end: if no good one follows it is what was being written
// (one batch is on its way at a time, so whatever a good frame follows had
// been synced), else it is damage. The surviving frames are copied to a new
// segment that says which numbers it stands for; after its name is durable
// the old one is removed. The zeros after the copy take the place of what was
// torn, which thus never needs to be wiped where it lies.
//
// The stated exception: if the very last batch was synced and then damaged,
// it looks torn. A later frame closes that window: another batch, an empty
// one (a lazy mark), or Seal.
//
// # Every crash point
//
// Create makes the first segment, then the snapshot under a temporary name,
// synced, and renames it.
//   - Before the rename is durable: Exists may say no, and Create begins
//     anew; or yes, if the process alone ended, and Open makes it durable.
//   - After it: there is a store.
//
// Append writes one frame and syncs.
//   - Before or in the write: the frame is bad or missing; it is left behind.
//   - Between write and sync: good, bad or missing. If good, Open makes it
//     durable and returns it: the batch was not acknowledged, which does not
//     forbid it.
//   - The sync fails: the frame may look good until the power goes. Open
//     copies it elsewhere before raft can count on it.
//
// Beginning the next segment: zeros and head under a temporary name, sync,
// rename, sync of the directory, then an end mark in the old segment, synced.
//   - Before the rename is durable: the old one is the last; the temporary
//     file is removed.
//   - Before the end mark, or if that is torn: the new one's head says where
//     the old one's frames end, and what follows there is not looked at.
//   - After it: if the new segment is missing, the mark tells so.
//
// Cut removes segments from the lowest up and syncs the directory.
//   - Within: any of them may be back. What is below a gap is removed, if the
//     snapshot covers it, which the caller has seen to.
//
// SaveSnapshot writes under a temporary name, syncs, renames, syncs the
// directory, and removes the one before.
//   - Before the rename is durable: either is the newest; segments and files
//     still serve both.
//   - After it: leftovers of the older are removed by Open.
//
// Open changes nothing before everything is read and believed, and removes
// nothing before the copy's name is durable, and with it all names that were
// seen: a removal must not outlive the rename that allowed it.
//   - In the copy: it has a temporary name. The old segment is whole.
//   - After the copy's name is durable: it says that it stands for the old
//     number, which from then on nobody reads, so it does not matter what a
//     power cut makes of pages there that were never on the disk.
//   - In the removals: the next Open does them again.
//
// WriteFile overwrites a sector of which the first part may be durable.
//   - A power cut spoils that sector, or the sector with the last CRCs: the
//     sidecar's slots have both, as of the last SyncFiles (see sidecar.go).
//   - Otherwise: what lies past the snapshot's lengths is written again.
//
// SyncFiles writes the slot whose turn it is and syncs.
//   - Within: the other slot is whole, and nothing in place is older than it.
//
// The first write to a file after Open replaces its sidecar by a fresh one:
// temporary name, sync, rename, sync of the directory.
//   - Before that is durable: nothing of the old pair was written over,
//     except a spoilt sector with what a slot says it was.
//
// # What is taken for granted
//
// What package vfs promises; that a failed sync of a directory keeps its
// changes pending; that durable sectors change only by damage.
package wal
