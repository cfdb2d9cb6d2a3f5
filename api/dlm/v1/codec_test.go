package dlmv1

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"pgregory.net/rapid"
)

// generated is what the generated codec makes of a message.
type generated interface {
	proto.Message
	SizeVT() int
	MarshalVT() ([]byte, error)
	UnmarshalVT(b []byte) error
}

// newMessage makes an empty message.
func newMessage(t testing.TB, d protoreflect.MessageDescriptor) generated {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	m, ok := kind.New().Interface().(generated)
	if !ok {
		t.Fatalf("%s has no generated codec", d.FullName())
	}
	return m
}

// draw fills a message: any field may be set, to anything, and the message may hold a field that nobody knows.
func draw(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !rapid.Bool().Draw(t, string(field.Name())) {
			continue
		}
		switch {
		case field.IsList():
			list := m.Mutable(field).List()
			for range rapid.IntRange(1, 3).Draw(t, "items") {
				if field.Message() != nil {
					draw(t, list.AppendMutable().Message())
				} else {
					list.Append(drawScalar(t, field))
				}
			}
		case field.Message() != nil:
			draw(t, m.Mutable(field).Message())
		default:
			m.Set(field, drawScalar(t, field))
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "unknown") == 0 {
		b := protowire.AppendTag(nil, 2000, protowire.BytesType)
		m.SetUnknown(protowire.AppendBytes(b, rapid.SliceOf(rapid.Byte()).Draw(t, "of it")))
	}
}

func drawScalar(t *rapid.T, field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32().Draw(t, "enum")))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "uint32"))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "uint64"))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.String().Draw(t, "string"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	}
	panic(fmt.Sprintf("nothing is drawn for %s", field.FullName()))
}

// TestCodecsAgree: what the generated codec encodes protobuf's own decodes, and the reverse, with all that is unknown. Logs and clients
// know nothing of which one it was.
func TestCodecsAgree(t *testing.T) {
	all := File_dlm_v1_dlm_proto.Messages()
	for i := range all.Len() {
		t.Run(string(all.Get(i).Name()), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				m := newMessage(t, all.Get(i))
				draw(rt, m.ProtoReflect())
				agree(rt, t, m)
			})
		})
	}
}

func agree(rt rapid.TB, t testing.TB, m generated) {
	ours, err := m.MarshalVT()
	if err != nil || len(ours) != m.SizeVT() || len(ours) != proto.Size(m) {
		rt.Fatalf("%v takes %d bytes, announced are %d and %d: %v", m, len(ours), m.SizeVT(), proto.Size(m), err)
	}
	got := newMessage(t, m.ProtoReflect().Descriptor())
	if err := proto.Unmarshal(ours, got); err != nil || !proto.Equal(got, m) {
		rt.Fatalf("generated codec to protobuf's: %v became %v: %v", m, got, err)
	}
	theirs, err := proto.Marshal(m)
	if err != nil {
		rt.Fatal(err)
	}
	for what, b := range map[string][]byte{"protobuf's codec": theirs, "generated codec": ours} {
		got, kept := newMessage(t, m.ProtoReflect().Descriptor()), bytes.Clone(b)
		err := got.UnmarshalVT(kept)
		clear(kept) // nothing of it may be kept
		if err != nil || !proto.Equal(got, m) {
			rt.Fatalf("%s to the generated one: %v became %v: %v", what, m, got, err)
		}
	}
}

// hasUnknown says whether a message holds a field somewhere that nobody knows.
func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	visitMessages(m, func(child protoreflect.Message) { found = found || hasUnknown(child) })
	return found
}

// blur leaves of what is unknown in a message only that there is something: protobuf's codec writes the number of an unknown field anew.
func blur(m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		m.SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 2000, protowire.VarintType), 0))
	}
	visitMessages(m, blur)
}

// visitMessages visits what is set in a message and is a message.
func visitMessages(m protoreflect.Message, visit func(protoreflect.Message)) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message())
			}
		default:
			visit(v.Message())
		}
		return true
	})
}

// decoded holds the generated codec's reading of any bytes against protobuf's own. What that takes and knows the other must take as the
// same. What only the generated one takes (it looks at less) must at least be a message: it encodes to one that decodes.
func decoded(t testing.TB, d protoreflect.MessageDescriptor, b []byte) {
	want, got := newMessage(t, d), newMessage(t, d)
	wantErr, err := proto.Unmarshal(b, want), got.UnmarshalVT(b)
	switch {
	case wantErr == nil && err == nil:
		blur(want.ProtoReflect())
		blurred := proto.Clone(got)
		blur(blurred.ProtoReflect())
		if !proto.Equal(blurred, want) {
			t.Fatalf("%s, %x: decoded as %v, by protobuf's codec as %v", d.Name(), b, got, want)
		}
	case wantErr == nil && !hasUnknown(want.ProtoReflect()): // a field of another type is unknown to the one and an error to the other
		t.Fatalf("%s, %x: %v, by protobuf's codec %v", d.Name(), b, err, want)
	}
	if err != nil {
		return
	}
	again, err := got.MarshalVT()
	if err != nil || len(again) != got.SizeVT() {
		t.Fatalf("%s, %x: encoded again it has %d bytes, announced are %d: %v", d.Name(), b, len(again), got.SizeVT(), err)
	}
	twin := newMessage(t, d)
	if err := twin.UnmarshalVT(again); err != nil || !proto.Equal(twin, got) {
		t.Fatalf("%s, %x: %v became %v: %v", d.Name(), b, got, twin, err)
	}
}

// samples are a frame of each direction and an entry, with something of everything in them.
func samples() []generated {
	requests := []*Request{
		{Session: 1 << 40, Instance: 1, Sequence: 300, Watermark: 200, Awaited: []uint64{7, 150, 199}, Op: &Request_Acquire{Acquire: &Acquire{
			Lock: "lock", Mode: Mode_MODE_SHARED, WaitNanos: new(uint64), HoldLimitNanos: 1 << 50, Value: []byte("value"),
		}}},
		{Op: &Request_Open{Open: &Open{Key: make([]byte, 16), Label: "l"}}},
		{Session: 1, Sequence: 2, Op: &Request_SetLimits{SetLimits: &SetLimits{Limits: &Limits{DriftPpm: 3}}}},
		{Session: 1, Sequence: 3, Op: &Request_KeepAlive{KeepAlive: &KeepAlive{}}},
	}
	return []generated{
		&ClientFrame{Requests: requests, Reads: []*Read{{Id: 1, Op: &Read_ListLocks{ListLocks: &ListLocks{Prefix: "p", Limit: 3}}}}},
		&ServerFrame{
			Hello:   &Hello{ClusterId: make([]byte, 16), Version: "v"},
			Answers: []*Answer{{Session: 1, Reason: Reason_REASON_TOO_OLD, Detail: "d", Holds: []*Hold{{Lock: "l", Token: 5}}, Losses: []*Loss{{Why: "w"}}}},
			Reads:   []*ReadAnswer{{Lock: &LockInfo{Lock: "l", Holders: []*Holder{{Revoked: true}}, Waiters: []*Waiter{{Since: 1}}}, More: true}},
			Notices: []*Notice{{Kind: Notice_KIND_QUEUED, Session: 1, Sequence: 2}},
		},
		&Batch{Version: 1, Stamp: 1 << 50, Requests: requests},
	}
}

// TestEveryByte cuts messages at every byte, and sets every byte to anything.
func TestEveryByte(t *testing.T) {
	for _, m := range samples() {
		b, err := m.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		for at := range b {
			decoded(t, m.ProtoReflect().Descriptor(), b[:at])
			was := b[at]
			for x := range 256 {
				b[at] = byte(x)
				decoded(t, m.ProtoReflect().Descriptor(), b)
			}
			b[at] = was
		}
	}
}

// FuzzDecode: whatever bytes come, the generated codec does not panic, and reads them as protobuf's own does; see decoded.
func FuzzDecode(f *testing.F) {
	all := samples()
	for kind, m := range all {
		b, err := m.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(kind), b)
		f.Add(uint8(kind), b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		decoded(t, all[int(kind)%len(all)].ProtoReflect().Descriptor(), b)
	})
}

// A message takes memory for what is there, whatever its lengths announce.
func TestLengthsAnnounceNothing(t *testing.T) {
	for what, tag := range map[string]byte{"awaited": 0x2a, "an unknown field": 0xfa} {
		b := []byte{tag}
		if tag == 0xfa {
			b = append(b, 0x3f)
		}
		for _, length := range []uint64{1 << 20, 1 << 31, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			long := append(protowire.AppendVarint(bytes.Clone(b), length), make([]byte, 100)...)
			took := testing.AllocsPerRun(1, func() {
				if new(Request).UnmarshalVT(long) == nil {
					t.Errorf("%s of %d bytes: taken", what, length)
				}
			})
			if took > 5 {
				t.Errorf("%s of %d bytes: %v allocations", what, length, took)
			}
		}
	}
	packed := protowire.AppendBytes([]byte{0x2a}, make([]byte, 1000))
	var r Request
	if err := r.UnmarshalVT(bytes.Repeat(packed, 3)); err != nil || len(r.Awaited) != 3000 || cap(r.Awaited) > 8000 {
		t.Errorf("%d numbers have room for %d: %v", len(r.Awaited), cap(r.Awaited), err)
	}
}
