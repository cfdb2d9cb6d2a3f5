package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/sim/simdisk"
)

// sample is a small backup: two files with bytes and an empty one.
func sample(t testing.TB) []byte {
	c, err := core.New(core.Config{ClusterID: [16]byte{1}, FirstToken: 100})
	if err != nil {
		t.Fatal(err)
	}
	seq := uint64(0)
	session := uint64(0)
	do := func(r *dlmv1.Request) *dlmv1.Answer {
		if r.GetOpen() == nil {
			seq++
			r.Session, r.Instance, r.Sequence, r.Watermark = session, 1, seq, seq
		}
		return c.Apply(c.Index()+1, c.Now()+1, []*dlmv1.Request{r}).Answers[0]
	}
	session = do(&dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: make([]byte, 16)}}}).GetSession()
	token := do(&dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l"}}}).GetToken()
	var all []byte
	h := Header{ClusterID: [16]byte{1}, MemberID: 7, Term: 3, LastToken: c.LastToken()}
	for name, n := range []int{70, 0, 130} {
		data := bytes.Repeat([]byte{byte('a' + name)}, n)
		do(&dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: string(rune('a' + name)), Lock: "l", Token: token, Data: data}}})
		all = append(all, data...)
		h.Files++
		h.FileBytes += uint64(n)
	}
	h.Index, h.Stamp = c.Index(), c.Now()
	var e Encoder
	file := e.Begin(h, c.Backup())
	file = append(file, e.Files(all[:100])...) // ends within a file
	file = append(file, e.Files(all[100:])...)
	return append(file, e.End()...)
}

func verify(b []byte) error {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return r.Verify()
}

func mayRefuse(err error) bool {
	var damage *DamageError
	return errors.As(err, &damage) || errors.Is(err, ErrNotBackup) || errors.Is(err, ErrVersion) || errors.Is(err, core.ErrSnapshotVersion)
}

func TestEveryBitAndEveryLength(t *testing.T) {
	whole := sample(t)
	if err := verify(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		if err := verify(b); !mayRefuse(err) {
			t.Fatalf("byte %d was changed: %v", i, err)
		}
		if err := verify(whole[:i]); !mayRefuse(err) {
			t.Fatalf("cut at byte %d: %v", i, err)
		}
	}
	if err := verify(append(bytes.Clone(whole), 0)); !mayRefuse(err) {
		t.Fatalf("a byte more: %v", err)
	}
}

// TestFramesOfElsewhere: good frames in another order, left out or twice are noticed.
func TestFramesOfElsewhere(t *testing.T) {
	whole := sample(t)
	var frames [][]byte
	for at := headerSize; at < len(whole); {
		n := frameHead + int(le.Uint32(whole[at:]))
		frames = append(frames, whole[at:at+n])
		at += n
	}
	build := func(order ...int) []byte {
		b := bytes.Clone(whole[:headerSize])
		for _, i := range order {
			b = append(b, frames[i]...)
		}
		return seal(b)
	}
	if err := verify(build(0, 1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	for _, order := range [][]int{{0, 2, 1, 3}, {0, 1, 3}, {0, 1, 2, 2, 3}, {0, 0, 1, 2, 3}, {1, 2, 3}, {0, 3}, {0, 1, 2, 3, 3}} {
		if err := verify(build(order...)); !mayRefuse(err) {
			t.Errorf("%v: %v", order, err)
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	whole := sample(t)
	next := bytes.Clone(whole)
	le.PutUint32(next[8:], version+1)
	le.PutUint32(next[12:], headerCRC(next[:headerSize]))
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{nil, "no backup"},
		{[]byte("short"), "no backup"},
		{bytes.Repeat([]byte("#!/bin/sh\n"), 99), "no backup"},
		{next, "version 2, this program reads 1"},
		{whole[:len(whole)-1], "it ends here and is not whole"},
		{whole[:50], "it ends here"},
	} {
		if err := verify(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want something with %q", err, c.want)
		}
	}
	broken := errors.New("the tape is torn")
	if _, err := NewReader(io.MultiReader(bytes.NewReader(whole[:headerSize+20]), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestRestoreLeavesNothingBehind: damage that shows only at the end undoes everything, and the next restore goes on from there.
func TestRestoreLeavesNothingBehind(t *testing.T) {
	whole := sample(t)
	d := simdisk.New(rand.NewPCG(1, 1))
	restore := func(b []byte, id byte) error {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return err
		}
		_, err = Restore(d.FS(), "data", r, Target{Rebirth: core.Rebirth{ClusterID: [16]byte{id}}, MemberID: 8})
		return err
	}
	if err := restore(whole[:len(whole)-3], 2); !mayRefuse(err) {
		t.Fatalf("got %v", err)
	}
	if names := append(d.Names("data"), d.Names("data/files")...); len(names) > 0 {
		t.Fatalf("%v is left", names)
	}
	if err := restore(whole, 1); !errors.Is(err, core.ErrConfig) {
		t.Fatalf("under the backup's own id: %v", err)
	}
	if err := restore(whole, 2); err != nil {
		t.Fatal(err)
	}
	if err := restore(whole, 3); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("over a store: %v", err)
	}
}

// seal sets every checksum right that can be, so that a fuzzer gets past them.
func seal(b []byte) []byte {
	if len(b) < headerSize {
		return b
	}
	le.PutUint32(b[12:], headerCRC(b[:headerSize]))
	for at := headerSize; at+frameHead <= len(b); {
		n := int(le.Uint32(b[at:]))
		if n > len(b)-at-frameHead {
			break
		}
		if le.Uint32(b[at+4:]) == kindEnd && n == sha256.Size {
			sum := sha256.Sum256(b[:at])
			copy(b[at+frameHead:], sum[:])
		}
		le.PutUint32(b[at+8:], frameCRC(int64(at), b[at:at+frameHead], b[at+frameHead:at+frameHead+n]))
		at += frameHead + n
	}
	return b
}

// FuzzReader: whatever the bytes are, they are refused with a reason, or they are a backup that can be restored. Checksums of
// head, frames and whole are right, and so is that of a state of the sample's length.
func FuzzReader(f *testing.F) {
	whole := sample(f)
	f.Add(whole)
	f.Add(whole[:headerSize])
	f.Add(whole[:len(whole)-44])
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		if len(b) >= headerSize+frameHead {
			state := b[headerSize+frameHead:]
			if n := int(le.Uint32(b[headerSize:])); n >= crc32.Size && n <= len(state) {
				le.PutUint32(state[n-crc32.Size:], crc32.Checksum(state[:n-crc32.Size], castagnoli))
			}
		}
		r, err := NewReader(bytes.NewReader(seal(b)))
		if err == nil {
			d := simdisk.New(rand.NewPCG(1, 1))
			_, err = Restore(d.FS(), "data", r, Target{Rebirth: core.Rebirth{ClusterID: [16]byte{0xff}, WallMillis: 1}, MemberID: 8})
		}
		if err != nil && !mayRefuse(err) && !errors.Is(err, core.ErrConfig) {
			t.Fatal(err)
		}
	})
}
