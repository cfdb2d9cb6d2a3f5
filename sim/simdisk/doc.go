// Package simdisk is a disk made of memory that keeps exactly what package
// vfs promises, and nothing more.
//
//	WriteAt --> cache --Sync--> medium           one pair per file
//	Create/Remove/Rename --> names --SyncDir--> durable names   per directory
//
//	Crash     the process ends: cache and names stay, handles die
//	PowerCut  the machine ends: what was not synced is drawn by lot
//
// Its contract with its caller:
//
//  1. One goroutine uses a Disk. All chance comes from the source given to
//     New, and is drawn only by PowerCut and by a write that fails half way;
//     so equal calls give equal disks.
//  2. A power cut keeps any subset of a directory's pending changes. Of a
//     file it keeps its length as of the last sync, as of now, or in between,
//     and each unsynced sector old, new or as garbage.
//  3. A failed sync leaves its sectors readable and takes them for written:
//     later syncs pass them over, and the next power cut draws for them.
//  4. Only changing operations count for StopAfter (see Ops): a crash before
//     a read is a crash after the change before it.
//  5. Directories are durable at once, as vfs.FS.MkdirAll promises.
package simdisk
