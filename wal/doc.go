// Package wal keeps what a replica must not forget: the raft log, the newest
// snapshot, and the bytes of data files.
//
//	 log goroutine                       file goroutine
//	Append Cut Seal              Begin-, Write-, FinishSnapshot, WriteFile, SyncFiles, PrepareSegment, Discard
//	      |                         |                |                   |
//	      v                         v                v                   v
//	segment-1 segment-2 ...    snapshot-<index>   files/<id>,      next.tmp
//	[head|frame|frame|000]     [state at index]   files/<id>.crc  [000]
//	      ^                                                              |
//	      +------------------ becomes the next segment ------------------+
//
// # Contract with its caller
//
//  1. One process has the directory (osfs.Lock). In it, Append, Cut and Seal
//     belong to one goroutine, all other calls of a Store to one other, or to
//     the same; Close comes last.
//  2. What Append was given is durable when it returns nil, all of it. If it
//     fails, or the process ends before, all or nothing of that batch will be
//     there after Open; never a part, never with a later one and without it.
//  3. After any error of a call that writes, other than ErrFull, the store is
//     broken: each later call returns ErrBroken and the process has to stop.
//     Only Open finds out what the disk holds. Errors of ReadFile break
//     nothing. ErrFull says that nothing was done, for lack of room.
//  4. What Open returns is durable. Raft must not have seen anything else.
//  5. A snapshot is finished after SyncFiles, if its state counts on files; Cut
//     comes after FinishSnapshot. SaveSnapshot does all of it at once.
//  6. After Open, RecoverFile is called for each file of the snapshot's state
//     before anything else touches it; then the log's entries write the rest
//     again. A file not named so begins anew, empty.
//  7. What is missing or different, or cannot be read, is a *DamageError with
//     file, offset and advice. Nothing damaged is ever returned.
//  8. PrepareSegment is called until it says that it is done, at the start
//     and whenever Room says that no segment is ready. Without it Append
//     makes the segment, and its caller waits for the zeros.
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
// The file goroutine makes the next segment's zeros ahead, under a temporary
// name, syncing each part; the log takes the file when it needs one, gives it
// head and name, and only then leaves the temporary name to the next. So a batch needs no room on the disk
// until both the active segment and the one made ahead are full.
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
// one (a lazy mark), or Seal. Byte for byte: of the last frame of the last
// segment, 16 bytes of head and the payload, when no frame follows it. All
// other bytes of heads and frames are refused when they change; an end mark
// only repeats what the next head says, a seal that nothing was torn, and
// what lies behind a payload up to the next sector, or behind the last
// frame, holds nothing.
//
// # A full disk
//
// Room is missing only where a file grows or is made, which is never on the
// way of a batch into a segment that exists. These give ErrFull, and what
// was there stands:
//   - Append and Seal, when they need a segment and none was made ahead: the
//     active one is untouched, the unfinished file is removed.
//   - PrepareSegment and a snapshot in the making: the unfinished file is removed. The
//     older snapshot stands, and the log that leads on from it.
//   - WriteFile: bytes past the file's length may be there in part; they count
//     for nothing, and the same write puts the same bytes there again.
//   - SyncFiles, which needs room only on file systems with small blocks: the
//     slot whose turn it was is spoilt, the other one is whole.
//
// An error of a sync is never taken for lack of room, whatever it says, nor
// is one of a write into the active segment: then nobody knows what the
// disk holds.
//
// Open removes temporary files before it makes the copy: the segment made
// ahead thus is the room that recovery has. If that was used up and the disk
// is full, a copy of no more than the frames will do, since the old segment
// goes next. If not even that fits, Open fails with ErrFull and has changed
// nothing.
//
// # Every crash point
//
// Create makes the first segment, then the snapshot under a temporary name,
// synced, and renames it.
//   - Before the rename is durable: Exists may say no, and Create begins
//     anew; or yes, if the process alone ended, and Open makes it durable.
//   - After it: there is a store.
//
// A restore (Restoration) marks the directory, writes data files, makes the
// first segment and the snapshot, and removes the mark; each is durable before
// the next is begun.
//   - Before the mark is durable: there is nothing else, or the mark too.
//   - While there is a mark: nothing is opened or created.
//   - In its removal: a mark that comes back stands beside a whole store, and
//     the restore has not said that it is done.
//
// Append writes one frame and syncs.
//   - Before or in the write: the frame is bad or missing; it is left behind.
//   - Between write and sync: good, bad or missing. If good, Open makes it
//     durable and returns it: the batch was not acknowledged, which does not
//     forbid it.
//   - The sync fails: the frame may look good until the power goes. Open
//     copies it elsewhere before raft can count on it.
//
// PrepareSegment writes zeros under a temporary name, and syncs each part.
//   - Anywhere: Open removes the file. Nothing refers to it.
//
// Beginning the next segment: zeros (made ahead or now) and head under a
// temporary name, sync, rename, sync of the directory, then an end mark in
// the old segment, synced.
//   - Before the rename is durable: the old one is the last; the temporary
//     file is removed.
//   - Before the end mark, or if that is torn: the new one's head says where
//     the old one's frames end, and what follows there is not looked at.
//   - After it: if the new segment is missing, the mark tells so.
//
// Cut gives segments temporary names, from the lowest up, and syncs the
// directory; Discard cuts these files shorter and shorter and removes them.
//   - Within Cut: any of them may be back, whole. What is below a gap is
//     removed, if the snapshot covers it, which the caller has seen to.
//   - Within Discard: Open removes the rest.
//
// A snapshot is written under a temporary name, in parts, with a sync now and
// then and the header last; FinishSnapshot syncs, renames, syncs the
// directory, and removes the one before as Cut and Discard remove segments.
//   - Before the rename: Open removes the unfinished file.
//   - Before the rename is durable: either is the newest; segments and files
//     still serve both.
//   - After it: leftovers of the older are removed by Open.
//
// Open changes nothing before everything is read and believed. Then it
// removes temporary files: they never count, so it does not matter which of
// these removals survive. It removes nothing else before the copy's name is
// durable, and with it all names that were seen: a removal must not outlive
// the rename that allowed it.
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
//     except a spoilt sector with what a slot says it was. Checksums that
//     their block confirms stay: a slot may have copied damage.
//
// # What is taken for granted
//
// What package vfs promises; that a failed sync of a directory keeps its
// changes pending; that durable sectors change only by damage.
package wal
