package sim

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/netsim"
	"dlm/sim/simdisk"
	"dlm/wal"
)

// harm is damage to bytes at rest that recovery or a reader has to notice, until it is repaired or written over.
type harm struct {
	*simdisk.Damage
	place string
	// frame is where the log's frame begins that was hit, -1 if none was.
	frame int64
	// must: the next recovery has to refuse it, if it reads the file at all. Otherwise it may do without these bytes.
	must bool
	due  bool // the recovery on its way must notice
	head bool // it is in the head of a frame

	repaired   time.Duration // when, 0 = not yet
	repairedIn int           // recovery: see diskFaults.openings
}

// damage hits synced bytes of a random file. It strikes while the server runs: then everything that is synced and has a
// frame after it was read or written whole by this process.
func (d *diskFaults) damage(f *Fault) {
	if !d.w.server.up {
		return
	}
	r := netsim.NewRNG(f.Which)
	for range 20 {
		h := d.choose(r)
		if f.Kind == FaultRot && f.Way > 0 {
			h = d.chooseHead(r, f.Way > 1)
		}
		if h == nil {
			continue
		}
		name, bytes := h.file, h.bytes
		offset := h.from + int64(r.IntN(int(h.to-h.from)))
		bad := []byte{bytes[offset] ^ 1<<r.IntN(8)}
		if f.Kind != FaultRot {
			offset = offset / sectorSize * sectorSize
			end := min(offset+sectorSize, int64(len(bytes)))
			bad = make([]byte, end-offset)
			if f.Kind == FaultStray {
				other := d.choose(r)
				if other == nil {
					continue
				}
				from := int64(r.IntN(len(other.bytes)/sectorSize+1)) * sectorSize
				copy(bad, other.bytes[min(from, int64(len(other.bytes))):])
			}
			if offset < h.from || end > h.to {
				continue
			}
		}
		g, err := d.w.server.disk.Damage(name, offset, bad, r.Chance(600_000))
		if err != nil {
			continue // it was not synced, or would have changed nothing
		}
		x := &harm{Damage: g, place: h.place, frame: -1}
		d.judge(x, h)
		d.harm = append(d.harm, x)
		d.w.note("damage", uint64(g.Offset), uint64(g.Last()), b2u(x.must))
		d.w.logf("    %s at %d .. %d, must be noticed: %v", name, g.Offset, g.Last(), x.must)
		d.w.count("damage to a " + x.place)
		if x.head = f.Kind == FaultRot && f.Way > 0; x.head {
			d.w.count("damage to the head of a frame")
		}
		return
	}
}

const (
	sectorSize = 512
	crcTable   = 4096 // where a sidecar's checksums begin
)

// target is a file and the range of it that may be hit.
type target struct {
	file, place string
	bytes       []byte
	from, to    int64
}

// choose draws a file. Of the log's last segment it leaves out the last frame and what follows it: damage there is the one
// exception to G5, and looks like a torn write.
func (d *diskFaults) choose(r *netsim.RNG) *target {
	return d.chooseIn(r, netsim.Pick(r, "segment", "segment", "snapshot", "data file", "data file", "sidecar"))
}

func (d *diskFaults) chooseIn(r *netsim.RNG, place string) *target {
	s := d.w.server
	dir, prefix, suffix := dataDir, place+"-", ""
	switch place {
	case "data file":
		dir, prefix = filesDir, ""
	case "sidecar":
		dir, prefix, suffix = filesDir, "", ".crc"
	}
	names, err := s.disk.FS().List(dir)
	if err != nil {
		return nil
	}
	var fit []string
	for _, n := range names {
		if strings.HasPrefix(n, prefix) && path.Ext(n) == suffix {
			fit = append(fit, path.Join(dir, n))
		}
	}
	if len(fit) == 0 {
		return nil
	}
	t := &target{place: place, file: fit[r.IntN(len(fit))]}
	if place == "snapshot" {
		t.file = fit[len(fit)-1]
	}
	t.bytes = s.disk.Bytes(t.file)
	for _, h := range d.harm {
		if h.Live() && h.Name(s.disk) == t.file {
			h.Mend(t.bytes)
		}
	}
	t.to = int64(len(t.bytes))
	last := t.file == fit[len(fit)-1]
	if s.log != nil && s.tasks.interleave && len(fit) > 1 {
		// The name of the last one may not be durable yet, and the one before have no end mark.
		last = last || t.file == fit[len(fit)-2]
	}
	if place == "segment" && last {
		t.to = d.lastFrame(t)
	}
	if t.to <= t.from {
		return nil
	}
	return t
}

// chooseHead draws the head of a frame of a segment, without its magic: its checksum and its length.
func (d *diskFaults) chooseHead(r *netsim.RNG, last bool) *target {
	t := d.chooseIn(r, "segment")
	if t == nil {
		return nil
	}
	var heads []int64
	d.eachFrame(t, func(from, _ int64) {
		if from < t.to {
			heads = append(heads, from)
		}
	})
	if len(heads) == 0 {
		return nil
	}
	n := r.IntN(len(heads))
	if last {
		n = len(heads) - 1
	}
	t.from, t.to = heads[n]+4, heads[n]+12
	return t
}

// eachFrame visits the frames of a segment that are synced: from where each begins to the end of its payload.
func (d *diskFaults) eachFrame(t *target, visit func(from, to int64)) {
	for at := int64(sectorSize); at+16 <= int64(len(t.bytes)) && string(t.bytes[at:at+4]) == "DLMF"; {
		to := at + 16 + int64(le32(t.bytes[at+8:]))
		if !d.w.server.disk.Synced(t.file, at, to) {
			return
		}
		visit(at, to)
		at = (to + sectorSize - 1) / sectorSize * sectorSize
	}
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// lastFrame is where the last synced frame begins; 0 if there is none, since the header may then be all that a
// recovery would miss.
func (d *diskFaults) lastFrame(t *target) (at int64) {
	d.eachFrame(t, func(from, _ int64) { at = from })
	return at
}

// judge decides whether recovery must notice the damage.
func (d *diskFaults) judge(x *harm, t *target) {
	switch x.place {
	case "snapshot":
		x.must = true
	case "segment":
		x.must = x.Offset < sectorSize
		var ends int64
		d.eachFrame(t, func(from, _ int64) { ends = from })
		d.eachFrame(t, func(from, to int64) {
			if x.frame < 0 && from <= x.Last() && x.Offset < to && from < ends {
				x.frame, x.must = from, true
			}
		})
	}
}

// opening is called before a recovery.
func (d *diskFaults) opening() {
	for _, h := range d.harm {
		if h.Live() && !h.Seen() {
			// Recovery reads it from the page cache, and may copy it elsewhere: also one that dies before it has ended.
			h.must = false
		}
		h.due = h.must && h.Live() && d.read(h)
	}
}

// read says whether recovery reads the damaged file: the newest snapshot, and segments without a gap down from the last.
func (d *diskFaults) read(h *harm) bool {
	name := h.Name(d.w.server.disk)
	names, err := d.w.server.disk.FS().List(dataDir)
	if err != nil || name == "" {
		return false
	}
	var all []string
	for _, n := range names {
		if strings.HasPrefix(n, h.place+"-") && path.Ext(n) == "" {
			all = append(all, path.Join(dataDir, n))
		}
	}
	if h.place == "snapshot" {
		return all[len(all)-1] == name
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i] == name {
			return true
		}
		if i == 0 || number(all[i]) != number(all[i-1])+1 {
			return false
		}
	}
	return false
}

func number(name string) (n uint64) {
	for _, c := range name[len(name)-16:] {
		n = n<<4 | uint64(strings.IndexRune("0123456789abcdef", c))
	}
	return n
}

// opened is called after a recovery that succeeded.
func (d *diskFaults) opened() {
	d.openings++
	d.logFull = false
	for _, h := range d.harm {
		if h.due {
			d.w.fail("G5", "recovery has not noticed damage to %s at %d", h.File, h.Offset)
		}
	}
}

// refused says whether an error is the refusal of damage that there really is, naming file and place. That is repaired
// from what was there before, as an operator does from a backup.
func (d *diskFaults) refused(err error) bool {
	var e *wal.DamageError
	if !errors.As(err, &e) {
		return false
	}
	for _, h := range d.harm {
		if h.Live() && h.Seen() && d.explains(h, e) {
			d.repair(h)
			return true
		}
	}
	for _, h := range d.harm {
		if c := d.copied(h, e); c != nil {
			d.harm = append(d.harm, c)
			d.repair(c)
			return true
		}
	}
	return false
}

// spoiled says whether a refusal comes of damage to a file's sidecar that was there when the server recovered last. Recovery needs
// the sidecar for what a power cut may have torn, and what it could not mend then no later repair brings back.
func (d *diskFaults) spoiled(err error) bool {
	var e *wal.DamageError
	return errors.As(err, &e) && slices.ContainsFunc(d.harm, func(h *harm) bool {
		return h.place == "sidecar" && stem(h.File) == e.File && (h.repaired == 0 || h.repairedIn == d.openings)
	})
}

// copied finds damage to a block's checksum that the store has copied, if that is what a refusal is about: into a fresh
// sidecar, or over the checksum's place out of a slot, neither of which was verified when it was made.
func (d *diskFaults) copied(h *harm, e *wal.DamageError) *harm {
	if h.place != "sidecar" || stem(h.File) != e.File {
		return nil
	}
	at := crcTable + e.Offset/wal.BlockSize*4
	g := d.w.server.disk.Copied(h.Damage, at, at+4)
	if g == nil {
		return nil
	}
	return &harm{Damage: g, place: h.place, frame: -1}
}

// unrepaired counts the damage that is there.
func (d *diskFaults) unrepaired() (n int) {
	for _, h := range d.harm {
		if h.Live() {
			n++
		}
	}
	return n
}

func (d *diskFaults) repair(h *harm) {
	d.w.checked("G5 refused")
	d.w.count("damage refused: " + h.place)
	if h.head {
		d.w.probes.meet(headRefused)
	}
	d.w.note("repair", uint64(h.Offset), 0, 0)
	h.Undo()
	h.repaired, h.repairedIn = d.w.sim.Now(), d.openings
}

// filingRefused is refused for the failure of the newest file task. It may have met damage that was repaired since it began,
// when a read that was refused for the same was answered.
func (d *diskFaults) filingRefused(err error) bool {
	if d.refused(err) {
		return true
	}
	var e *wal.DamageError
	if !errors.As(err, &e) {
		return false
	}
	return slices.ContainsFunc(d.harm, func(h *harm) bool {
		return h.repaired != 0 && h.repaired >= d.filingAt && stem(h.File) == e.File
	})
}

func (d *diskFaults) explains(h *harm, e *wal.DamageError) bool {
	name := h.Name(d.w.server.disk)
	if h.place == "data file" || h.place == "sidecar" {
		return stem(e.File) == stem(name)
	}
	if e.File != name {
		return false
	}
	if h.frame >= 0 || h.Offset < sectorSize || h.place != "segment" {
		return h.frame >= 0 && e.Offset == h.frame || h.frame < 0 && e.Offset < sectorSize
	}
	return d.inFrame(h, name, e.Offset)
}

// inFrame says whether damage of which it was not known what it hit lies in the log's frame that begins at an offset. The
// frame may have been the last one then, or have stood behind other damage.
func (d *diskFaults) inFrame(h *harm, name string, at int64) bool {
	bytes := d.w.server.disk.Bytes(name)
	if h.Last() < at || at+16 > int64(len(bytes)) {
		return false
	}
	return h.Offset < at+16 || h.Offset < at+16+int64(le32(bytes[at+8:]))
}

func stem(name string) string { return strings.TrimSuffix(name, ".crc") }

// damagedRead takes an answer that says that a file is damaged. It is right only if the file is, or could not be read.
func (d *diskFaults) damagedRead(a *dlmv1.ReadAnswer) {
	if strings.Contains(a.GetDetail(), simdisk.ErrInjected.Error()) {
		d.w.count("a read failed and was refused")
		return
	}
	for _, h := range d.harm {
		name := h.Name(d.w.server.disk)
		if h.Live() && name != "" && strings.Contains(a.GetDetail(), stem(name)) {
			d.repair(h)
			return
		}
	}
	// An answer may come late: the harm is repaired, and its file was damaged when the read took place.
	for _, h := range d.harm {
		if strings.Contains(a.GetDetail(), stem(h.File)) {
			return
		}
	}
	d.w.fail("G5", "a read was refused though nothing is damaged: %v", a)
}
