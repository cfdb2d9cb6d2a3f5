package wal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"dlm/sim/simdisk"
)

var flagFlips = flag.String("flips", "", "flip every bit that K/N names: bits K, K+N, K+2N ... of each file; default one of 61, another each day")

// specimen is a store at rest: three segments, a snapshot and two data files, everything synced.
type specimen struct {
	disk     *simdisk.Disk
	snapshot Snapshot
	batches  []specimenBatch // after the snapshot, in order
	files    [testFiles + 1][]byte
	segments []string
	sealed   bool
}

// specimenBatch is a frame of the log.
type specimenBatch struct {
	file      string
	from, end int64 // of the frame, without its padding
	last      int64 // after its last byte that is not zero: a cut behind that takes nothing away
	entries   []*raftpb.Entry
	hard      hardState
}

// newSpecimen makes one. Records are mixed: entries of several sizes, empty ones, overwritten ones, several in a batch, hard
// states with and without entries, marks.
func newSpecimen(t *testing.T, sealed bool) *specimen {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := &specimen{disk: simdisk.New(rand.NewPCG(1, 1)), sealed: sealed}
	rng := rand.New(rand.NewPCG(5, 5))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	must(Create(p.disk.FS(), testDir, testID, Snapshot{Index: 1, Term: 1, Voters: []uint64{7}, Data: []byte("first")}))
	s, _, err := Open(p.disk.FS(), testDir, Options{SegmentBytes: minSegmentBytes})
	must(err)
	add := func(b Batch, counted []*raftpb.Entry) {
		must(s.Append(b))
		name := segmentName(testDir, s.log.active.header.number)
		image := p.disk.Bytes(name)
		at := s.log.active.end - sectorSize
		for le.Uint32(image[at:]) != magicFrame {
			at -= sectorSize
		}
		end := at + frameHeaderSize + int64(le.Uint32(image[at+8:]))
		p.batches = append(p.batches, specimenBatch{
			file: name, from: at, end: end, last: at + int64(len(bytes.TrimRight(image[at:end], "\x00"))),
			entries: counted, hard: s.log.hard,
		})
	}
	add(Batch{Entries: []*raftpb.Entry{entry(2, 1, "covered by the snapshot")}}, nil)
	for i, size := range []int{2*BlockSize + 1300, 700, BlockSize} {
		id := i + 1
		p.files[id] = random(size)
		must(s.WriteFile(uint64(id), 0, p.files[id][:size/2]))
		must(s.SyncFiles())
		must(s.WriteFile(uint64(id), uint64(size/2), p.files[id][size/2:]))
	}
	must(s.SyncFiles())
	p.snapshot = Snapshot{Index: 2, Term: 1, Voters: []uint64{7, 8}, Data: random(90)}
	must(s.SaveSnapshot(p.snapshot))

	index, term := uint64(3), uint64(1)
	for i := 0; s.log.active.header.number < 4 || s.log.active.end < minSegmentBytes/3; i++ {
		var b Batch
		if i%3 == 1 {
			term++
			index -= uint64(i % 2) // overwrites the last one
		}
		for range []int{1, 2, 0, 3, 1, 1}[i%6] {
			b.Entries = append(b.Entries, entry(index, term, string(random([]int{3, 130, 0, 480, 700}[rng.IntN(5)]))))
			index++
		}
		if i%2 == 0 {
			b.HardState = &raftpb.HardState{Term: new(term), Vote: new(uint64(7)), Commit: new(uint64(2))}
		}
		add(b, b.Entries)
	}
	if sealed {
		must(s.Seal())
	}
	must(s.Close())
	p.disk.PowerCut() // nothing of it is lost
	l, err := list(p.disk.FS(), testDir)
	must(err)
	for _, n := range l.segments {
		p.segments = append(p.segments, segmentName(testDir, n))
	}
	if len(p.segments) != 3 || len(l.snapshots) != 1 {
		t.Fatalf("the specimen has segments %v and snapshots %v", l.segments, l.snapshots)
	}
	return p
}

// after returns the log and the hard state after the first n batches.
func (p *specimen) after(n int) (log []*raftpb.Entry, hard hardState) {
	hard = hardState{term: 1, commit: 2}
	for _, b := range p.batches[:n] {
		for _, e := range b.entries {
			log = append(log[:e.GetIndex()-p.snapshot.Index-1:e.GetIndex()-p.snapshot.Index-1], e)
		}
		hard = b.hard
	}
	hard.commit = max(hard.commit, p.snapshot.Index)
	return log, hard
}

// outcome is what a start of the store and a read of everything in it came to.
type outcome struct {
	kind   string // recovered, cut, refused, refused by a read, WRONG
	damage *DamageError
	detail string
}

// try starts a copy of the disk and reads everything. cut allows so many of the last batches to be missing.
func (p *specimen) try(d *simdisk.Disk, batches int) outcome {
	var damage *DamageError
	s, rec, err := Open(d.FS(), testDir, Options{SegmentBytes: minSegmentBytes})
	if errors.As(err, &damage) {
		return outcome{kind: "refused", damage: damage}
	} else if err != nil {
		return outcome{kind: "WRONG", detail: err.Error()}
	}
	log, hard := p.after(batches)
	kind := "recovered"
	switch {
	case rec.Identity != testID || rec.Snapshot.Index != p.snapshot.Index || !bytes.Equal(rec.Snapshot.Data, p.snapshot.Data):
		return outcome{kind: "WRONG", detail: "the snapshot"}
	case !equalLogs(rec.Entries, log) || *rec.HardState.Term != hard.term || *rec.HardState.Vote != hard.vote || *rec.HardState.Commit != hard.commit:
		log, hard = p.after(batches - 1)
		if !equalLogs(rec.Entries, log) || *rec.HardState.Term != hard.term || *rec.HardState.Vote != hard.vote || *rec.HardState.Commit != hard.commit {
			return outcome{kind: "WRONG", detail: fmt.Sprintf("%d entries, hard state %v", len(rec.Entries), rec.HardState)}
		}
		kind = "cut"
	}
	for id, content := range p.files {
		if err := s.RecoverFile(uint64(id), uint64(len(content)), tailCRC(content)); errors.As(err, &damage) {
			return outcome{kind: "refused", damage: damage}
		} else if err != nil {
			return outcome{kind: "WRONG", detail: err.Error()}
		}
	}
	for id, content := range p.files {
		got, err := s.ReadFile(uint64(id), uint64(len(content)), tailCRC(content), 0, uint64(len(content)))
		if errors.As(err, &damage) {
			return outcome{kind: "refused by a read", damage: damage}
		} else if err != nil || !bytes.Equal(got, content) {
			return outcome{kind: "WRONG", detail: fmt.Sprintf("file %d: %v", id, err)}
		}
	}
	return outcome{kind: kind}
}

func equalLogs(a, b []*raftpb.Entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].GetIndex() != b[i].GetIndex() || a[i].GetTerm() != b[i].GetTerm() || !bytes.Equal(a[i].GetData(), b[i].GetData()) {
			return false
		}
	}
	return true
}

// want is the one outcome that a changed byte has to have: kind, and for refusals file and offset.
func (p *specimen) want(name string, at int64) (kind, file string, offset int64) {
	base := path.Base(name)
	switch {
	case strings.HasPrefix(base, snapshotPrefix):
		return "refused", name, headerDamage(at)
	case strings.HasPrefix(base, segmentPrefix):
		return p.wantSegment(name, at)
	case strings.HasSuffix(base, sidecarSuffix):
		// Slots are spare copies, and the CRCs in place are repaired from them.
		if at < sidecarHeaderSize {
			return "refused", name, headerDamage(at)
		}
		return "recovered", "", 0
	}
	id, _ := parseHex(base, "")
	length := int64(len(p.files[id]))
	tail := length / BlockSize * BlockSize
	switch {
	case at < tail:
		return "refused by a read", name, at / BlockSize * BlockSize
	case at < length/sectorSize*sectorSize:
		return "refused", name, tail
	}
	return "recovered", "", 0 // the last sector has a copy in a slot
}

// headerDamage: a file is known by its magic, then by the checksum over all of it.
func headerDamage(at int64) int64 {
	if at < 8 {
		return 0
	}
	return crcAt
}

// wantSegment: every byte of the head and of every frame counts, but for the end mark, which only repeats what the next head
// says, and the seal. The last batch of an unsealed log is the one that may be cut.
func (p *specimen) wantSegment(name string, at int64) (kind, file string, offset int64) {
	if at < sectorSize {
		return "refused", name, headerDamage(at)
	}
	for i, b := range p.batches {
		if b.file == name && at >= b.from && at < b.end {
			if i == len(p.batches)-1 && !p.sealed {
				return "cut", "", 0
			}
			return "refused", name, b.from
		}
	}
	return "recovered", "", 0
}

func (p *specimen) everyFile(t *testing.T) (all []string) {
	t.Helper()
	for _, dir := range []string{testDir, path.Join(testDir, filesDir)} {
		names, err := p.disk.FS().List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if n != filesDir {
				all = append(all, path.Join(dir, n))
			}
		}
	}
	return all
}

// TestEveryBit flips every bit of every file: what comes back is exactly what was written; or the last batch, which nothing
// follows, is cut; or the damage is refused with its file and its place; each where it has to be so and nowhere else.
func TestEveryBit(t *testing.T) {
	step := int64(61)
	first := time.Now().Unix() / 86400 % step
	if *flagFlips != "" {
		if n, err := fmt.Sscanf(*flagFlips, "%d/%d", &first, &step); n != 2 || err != nil || step < 1 || first < 0 || first >= step {
			t.Fatalf("-flips=%q: want K/N with 0 <= K < N", *flagFlips)
		}
	}
	counts := map[string]int{}
	for _, sealed := range []bool{false, true} {
		p := newSpecimen(t, sealed)
		for _, name := range p.everyFile(t) {
			for bit := first; bit < int64(len(p.disk.Bytes(name)))*8; bit += step {
				at := bit / 8
				d := p.disk.Clone(rand.NewPCG(1, 1))
				if err := d.Flip(name, bit); err != nil {
					t.Fatal(err)
				}
				got := p.try(d, len(p.batches))
				counts[got.kind]++
				kind, file, offset := p.want(name, at)
				if got.kind != kind || got.damage != nil && (got.damage.File != file || got.damage.Offset != offset || got.damage.Advice == "") {
					t.Fatalf("sealed %v, bit %d of byte %d of %s: %s %v %s; want %s %s at %d",
						sealed, bit%8, at, name, got.kind, got.damage, got.detail, kind, file, offset)
				}
			}
		}
	}
	t.Logf("bits %d of %d: recovered %d, cut %d, refused at start %d, refused by the next read %d, served wrong %d", first, step,
		counts["recovered"], counts["cut"], counts["refused"], counts["refused by a read"], counts["WRONG"])
	for _, kind := range []string{"recovered", "cut", "refused", "refused by a read"} {
		if counts[kind] == 0 {
			t.Errorf("no flip was %s", kind)
		}
	}
}

// TestCutAtEveryByte ends the log's last write at every byte of it: what was synced before is there, all of it, and of the
// batch that was being written all or nothing. A segment that lacks its head, or one that is said to have a successor and has
// none, was not left so by a crash: it is refused.
func TestCutAtEveryByte(t *testing.T) {
	counts := map[string]int{}
	p := newSpecimen(t, false)
	for i, name := range p.segments {
		image := p.disk.Bytes(name)
		size := int64(len(image))
		head := int64(len(bytes.TrimRight(image[:sectorSize], "\x00")))
		for at := int64(0); at <= size; at++ {
			d := p.disk.Clone(rand.NewPCG(1, 1))
			for _, later := range p.segments[i+1:] {
				if err := d.FS().Remove(later); err != nil {
					t.Fatal(err)
				}
			}
			if err := wipe(d, name, at, size); err != nil {
				t.Fatal(err)
			}
			whole, end := 0, int64(sectorSize)
			for _, b := range p.batches {
				if b.file < name || b.file == name && at >= b.last {
					whole++
				}
				if b.file == name {
					end = roundUp(b.end)
				}
			}
			got := p.try(d, whole)
			want := "recovered"
			switch {
			case at < head:
				want = "refused"
			case i < len(p.segments)-1 && at >= end+13:
				want = "refused" // the end mark is whole: what follows in it are zeros
			}
			counts[got.kind]++
			if got.kind != want {
				t.Fatalf("%s cut at %d: %s %v %s; want %s of %d batches", name, at, got.kind, got.damage, got.detail, want, whole)
			}
		}
	}
	t.Logf("recovered %d, refused %d, anything else 0", counts["recovered"], counts["refused"])
}

// wipe makes the bytes from at on zeros, as they were before they were written.
func wipe(d *simdisk.Disk, name string, at, size int64) error {
	f, err := d.FS().Open(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(make([]byte, size-at), at); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// TestTruncatedAtEveryByte makes each file shorter: no wrong byte comes of it, and what is refused is that file.
func TestTruncatedAtEveryByte(t *testing.T) {
	counts := map[string]int{}
	p := newSpecimen(t, true)
	for _, name := range p.everyFile(t) {
		for at := range int64(len(p.disk.Bytes(name))) {
			d := p.disk.Clone(rand.NewPCG(1, 1))
			f, err := d.FS().Open(name)
			if err == nil {
				err = errors.Join(f.Truncate(at), f.Sync())
			}
			if err != nil {
				t.Fatal(err)
			}
			got := p.try(d, len(p.batches))
			counts[got.kind]++
			stem := strings.TrimSuffix(name, sidecarSuffix)
			switch {
			case got.damage != nil && strings.TrimSuffix(got.damage.File, sidecarSuffix) == stem:
			case got.kind == "recovered" && stem != name: // the sidecar's slots are spare copies
			default:
				t.Fatalf("%s cut to %d bytes: %s %v %s", name, at, got.kind, got.damage, got.detail)
			}
		}
	}
	t.Logf("recovered %d, refused at start %d, refused by the next read %d, served wrong 0",
		counts["recovered"], counts["refused"], counts["refused by a read"])
}
