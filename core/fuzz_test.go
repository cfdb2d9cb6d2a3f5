package core

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
)

// story is a table in which something of everything has happened.
func story(t testing.TB) *table {
	x := newTable(t)
	a, b := x.open(1), x.open(2)
	hold := x.ask(a, &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l", Value: []byte("v"), HoldLimitNanos: 1000, LockDelayNanos: 500}}})
	x.ask(b, &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l", WaitNanos: new(uint64(5000))}}})
	x.ask(a, &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "f", Lock: "l", Token: hold.Token, Data: []byte("data")}}})
	x.ask(b, &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "s", Mode: dlmv1.Mode_MODE_SHARED}}})
	x.ask(b, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "l", Why: "why"}}})
	x.entry(2000)
	return x
}

// ask sends a request of a session under its next sequence.
func (x *table) ask(session uint64, r *dlmv1.Request) *dlmv1.Answer {
	x.seq[session]++
	r.Session, r.Instance, r.Sequence, r.Watermark = session, x.inst[session], x.seq[session], x.seq[session]
	return x.one(r)
}

// FuzzRestore: whatever the body of a snapshot is, Restore says that it is wrong, or gives a table that keeps every
// invariant. Head and checksum are right: no guess would get past them.
func FuzzRestore(f *testing.F) {
	const head = len(snapshotMagic) + 1
	for _, x := range []*table{newTable(f), story(f)} {
		whole := x.c.Snapshot()
		f.Add(whole[head : len(whole)-crc32.Size])
	}
	start := newTable(f).c.Snapshot()[:head]
	f.Fuzz(func(t *testing.T, body []byte) {
		data := slices.Concat(start, body)
		data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
		c, err := Restore(data)
		if err != nil {
			return
		}
		if err := c.Check(); err != nil {
			t.Fatalf("restored without an error: %v", err)
		}
		again, err := Restore(c.Snapshot())
		if err != nil || again.Hash() != c.Hash() {
			t.Fatalf("its own snapshot restores to %v, %v", again, err)
		}
		// It goes on working.
		c.Apply(c.index+1, c.now+1, nil)
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// batches cuts the data into messages: a length of two bytes before each. What does not decode ends it.
func batches(data []byte) (all []*dlmv1.Batch) {
	for len(data) >= 2 {
		n := int(binary.LittleEndian.Uint16(data))
		data = data[2:]
		if n > len(data) {
			break
		}
		b := new(dlmv1.Batch)
		if b.UnmarshalVT(data[:n]) != nil {
			break
		}
		all = append(all, b)
		data = data[n:]
	}
	return all
}

func encoded(f *testing.F, requests ...*dlmv1.Request) []byte {
	var data []byte
	for i, r := range requests {
		b, err := proto.Marshal(&dlmv1.Batch{Version: 1, Stamp: uint64(i) * 400, Requests: []*dlmv1.Request{r}})
		if err != nil {
			f.Fatal(err)
		}
		data = binary.LittleEndian.AppendUint16(data, uint16(len(b)))
		data = append(data, b...)
	}
	return data
}

// FuzzApply: no entry of the log, however it came there, breaks an invariant, and a table that was restored on the way goes
// on as one that was not.
func FuzzApply(f *testing.F) {
	key := []byte("0123456789abcdef")
	of := func(seq uint64, r *dlmv1.Request) *dlmv1.Request {
		r.Session, r.Instance, r.Sequence, r.Watermark = 1, 1, seq, seq
		return r
	}
	f.Add(encoded(f,
		&dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key}}},
		of(1, &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l", HoldLimitNanos: 900}}}),
		of(2, &dlmv1.Request{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{File: "f", Lock: "l", Token: 1, Data: []byte("x")}}}),
		of(3, &dlmv1.Request{Op: &dlmv1.Request_Revoke{Revoke: &dlmv1.Revoke{Lock: "l"}}}),
		of(4, &dlmv1.Request{Op: &dlmv1.Request_Release{Release: &dlmv1.Release{Lock: "l", Token: 1}}}),
		&dlmv1.Request{Session: 1, Op: &dlmv1.Request_Attach{Attach: &dlmv1.Attach{Key: []byte("fedcba9876543210"), Replaces: 1}}},
	))
	f.Add(encoded(f,
		&dlmv1.Request{Op: &dlmv1.Request_Open{Open: &dlmv1.Open{Key: key, TtlNanos: 1 << 30}}},
		of(9, &dlmv1.Request{Op: &dlmv1.Request_Cancel{Cancel: &dlmv1.Cancel{Sequence: 8}}}),
		of(8, &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "l"}}}),
		of(10, &dlmv1.Request{Op: &dlmv1.Request_SetLimits{SetLimits: &dlmv1.SetLimits{Limits: &dlmv1.Limits{Window: 2, Locks: 1}}}}),
		of(11, &dlmv1.Request{Op: &dlmv1.Request_Close{Close: &dlmv1.Close{}}}),
	))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, twin := newTable(t).c, newTable(t).c
		for i, b := range batches(data) {
			for _, r := range b.GetRequests() {
				c.Validate(r)
				c.Lookup(r)
			}
			index := uint64(i) + 2
			c.Apply(index, b.GetStamp(), b.GetRequests())
			twin.Apply(index, b.GetStamp(), b.GetRequests())
			if err := c.Check(); err != nil {
				t.Fatalf("entry %d, %v: %v", index, b, err)
			}
			restored, err := Restore(twin.Snapshot())
			if err != nil {
				t.Fatalf("entry %d, %v: %v", index, b, err)
			}
			if twin = restored; twin.Hash() != c.Hash() {
				t.Fatalf("entry %d, %v: restored, it is another table", index, b)
			}
		}
	})
}

// FuzzName: a name passes exactly if it is what the documentation says.
func FuzzName(f *testing.F) {
	for _, name := range []string{"", "a", "größe", "a/../b", "..", "a..b", "\x00", "\x7f", "\u0085", "\xff", strings.Repeat("x", 256)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		fine := name != "" && len(name) <= 255 && utf8.ValidString(name) && !strings.Contains("/"+name+"/", "/../")
		for _, r := range name {
			fine = fine && !unicode.IsControl(r)
		}
		if err := CheckName("lock", name, 255); (err == nil) != fine {
			t.Fatalf("%q: %v", name, err)
		}
	})
}
