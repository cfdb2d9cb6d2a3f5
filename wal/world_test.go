package wal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/sim/simdisk"
	"dlm/wal/vfs"
)

const testDir = "data/wal"

var testID = Identity{ClusterID: [16]byte{1, 2, 3}, MemberID: 7}

// lag is how far the files stay behind the log: raft overwrites only what is
// not applied.
const lag = 3

const testFiles = 3

// world is a replica in miniature: a log whose entries are appends to files,
// and what was acknowledged of it.
type world struct {
	disk  *simdisk.Disk
	fs    vfs.FS // nil: the disk's
	store *Store
	rng   *rand.Rand // of the script

	log       []*raftpb.Entry // log[i] has index i+2: the first snapshot is at 1
	inFlight  []*raftpb.Entry // the whole log, if the append on its way is counted
	term      uint64
	applied   uint64
	snapshot  uint64
	nextSnap  uint64 // on its way
	recovered int
}

func newWorld(diskSeed, scriptSeed uint64) *world {
	return &world{
		disk: simdisk.New(rand.NewPCG(diskSeed, 1)), rng: rand.New(rand.NewPCG(scriptSeed, 2)),
		term: 1, applied: 1, snapshot: 1, nextSnap: 1,
	}
}

func fileOf(e *raftpb.Entry) uint64 { return e.GetIndex()%testFiles + 1 }

// files returns what the files hold after applying up to index.
func (w *world) files(log []*raftpb.Entry, index uint64) (content [testFiles + 1][]byte) {
	for _, e := range log {
		if e.GetIndex() <= index {
			content[fileOf(e)] = append(content[fileOf(e)], e.GetData()...)
		}
	}
	return content
}

func tailCRC(content []byte) uint32 {
	return crc32.Checksum(content[len(content)/BlockSize*BlockSize:], castagnoli)
}

func (w *world) system() vfs.FS {
	if w.fs != nil {
		return w.fs
	}
	return w.disk.FS()
}

func (w *world) create() error {
	return Create(w.system(), testDir, testID, Snapshot{Index: 1, Term: 1, Voters: []uint64{7}, Data: []byte("first")})
}

// open recovers, checks what came back against what was promised, and brings
// the files up to date.
func (w *world) open() error {
	store, rec, err := Open(w.system(), testDir, Options{SegmentBytes: 4096, OpenFiles: 1 + w.rng.IntN(testFiles+1)})
	if err != nil {
		return err
	}
	w.store = store
	if got := rec.Snapshot.Index; got != w.snapshot && got != w.nextSnap {
		return fmt.Errorf("CHECK: snapshot %d, want %d or %d", got, w.snapshot, w.nextSnap)
	}
	w.snapshot, w.nextSnap = rec.Snapshot.Index, rec.Snapshot.Index
	if rec.Identity != testID || rec.HardState.GetCommit() < w.snapshot {
		return fmt.Errorf("CHECK: identity %v, hard state %v", rec.Identity, rec.HardState)
	}
	switch {
	case w.sameLog(rec, w.log):
	case w.inFlight != nil && w.sameLog(rec, w.inFlight):
		w.log = w.inFlight
	default:
		return fmt.Errorf("CHECK: %d entries after %d (%v) are neither the %d nor the %d promised",
			len(rec.Entries), w.snapshot, rec.Report, len(w.log), len(w.inFlight))
	}
	w.inFlight = nil
	if applied := w.applied; applied > rec.HardState.GetCommit() {
		return fmt.Errorf("CHECK: commit %d, but %d was applied", rec.HardState.GetCommit(), applied)
	}
	w.recovered++
	return w.replay(rec)
}

func (w *world) replay(rec *Recovered) error {
	files := w.files(w.log, w.snapshot)
	for id := uint64(1); id <= testFiles; id++ {
		if err := w.store.RecoverFile(id, uint64(len(files[id])), tailCRC(files[id])); err != nil {
			return err
		}
	}
	applied := max(rec.HardState.GetCommit(), w.snapshot)
	w.applied = w.snapshot
	if err := w.apply(applied); err != nil {
		return err
	}
	return w.checkFiles()
}

func (w *world) sameLog(rec *Recovered, log []*raftpb.Entry) bool {
	log = log[min(len(log), int(w.snapshot-1)):]
	if len(log) != len(rec.Entries) {
		return false
	}
	for i, e := range rec.Entries {
		if e.GetIndex() != log[i].GetIndex() || e.GetTerm() != log[i].GetTerm() || !bytes.Equal(e.GetData(), log[i].GetData()) {
			return false
		}
	}
	return true
}

func (w *world) checkFiles() error {
	for id, content := range w.files(w.log, w.applied) {
		got, err := w.store.ReadFile(uint64(id), uint64(len(content)), tailCRC(content), 0, uint64(len(content)))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, content) {
			return fmt.Errorf("CHECK: file %d differs", id)
		}
	}
	return nil
}

// apply writes the entries up to index to the files.
func (w *world) apply(index uint64) error {
	var length [testFiles + 1]uint64
	for _, e := range w.log {
		id := fileOf(e)
		switch {
		case e.GetIndex() > index:
			return nil
		case e.GetIndex() > w.applied:
			if err := w.store.WriteFile(id, length[id], e.GetData()); err != nil {
				return err
			}
			w.applied = e.GetIndex()
		}
		length[id] += uint64(len(e.GetData()))
	}
	return nil
}

// append adds up to three entries and may overwrite up to two.
func (w *world) append() error {
	last := uint64(len(w.log)) + 1
	index := last + 1
	if w.rng.IntN(6) == 0 {
		w.term++
		index -= min(uint64(w.rng.IntN(lag)), last-w.applied)
	}
	var entries []*raftpb.Entry
	next := append([]*raftpb.Entry(nil), w.log[:index-2]...)
	for range 1 + w.rng.IntN(3) {
		data := make([]byte, w.rng.IntN(900))
		for i := range data {
			data[i] = byte(w.rng.Uint32())
		}
		entries = append(entries, &raftpb.Entry{Index: new(index), Term: new(w.term), Data: data})
		index++
	}
	next = append(next, entries...)
	w.inFlight = next
	commit := max(w.applied, uint64(max(len(next)+1-lag, 1)))
	err := w.store.Append(Batch{
		HardState: &raftpb.HardState{Term: new(w.term), Vote: new(uint64(7)), Commit: new(commit)}, Entries: entries,
	})
	if errors.Is(err, ErrFull) {
		w.inFlight = nil
	}
	if err != nil {
		return err
	}
	w.log, w.inFlight = next, nil
	return w.apply(commit)
}

func (w *world) save() error {
	if err := w.store.SyncFiles(); err != nil {
		return err
	}
	if w.rng.IntN(3) == 0 {
		return nil // synced, and no snapshot came of it
	}
	w.nextSnap = w.applied
	sn := Snapshot{Index: w.applied, Term: w.termAt(w.applied), Voters: []uint64{7}, Data: fmt.Append(nil, w.applied)}
	err := w.store.SaveSnapshot(sn)
	if errors.Is(err, ErrFull) {
		w.nextSnap = w.snapshot
	}
	if err != nil {
		return err
	}
	w.snapshot = w.nextSnap
	aside, err := w.store.Cut(w.snapshot)
	if err != nil || w.rng.IntN(4) == 0 {
		return err // Open will remove them
	}
	return w.store.Discard(aside)
}

func (w *world) termAt(index uint64) uint64 {
	if index == 1 {
		return 1
	}
	return w.log[index-2].GetTerm()
}

// prepare makes the next segment ahead.
func (w *world) prepare() error {
	_, err := w.store.PrepareSegment()
	return err
}

// step plays the script's next one.
func (w *world) step() error {
	switch w.rng.IntN(8) {
	case 0:
		return w.save()
	case 1, 2:
		return w.prepare()
	}
	return w.append()
}

// run plays steps of the script until one fails.
func (w *world) run(steps int) error {
	for range steps {
		if err := w.step(); err != nil {
			return err
		}
	}
	return w.checkFiles()
}

func faulty(err error) bool {
	return errors.Is(err, simdisk.ErrStopped) || errors.Is(err, simdisk.ErrInjected)
}
