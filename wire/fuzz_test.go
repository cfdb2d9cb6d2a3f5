package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	dlmv1 "dlm/api/dlm/v1"
)

// FuzzRecv: whatever comes, in pieces of whatever size, Recv makes of it what a reading of the format does that has all of it at hand, and
// takes no more memory than has come. The seeds are short, because the fuzzer makes every input smaller that it finds interesting: messages
// larger than the buffer are for the tests.
func FuzzRecv(f *testing.F) {
	request := &dlmv1.Request{Session: 1, Sequence: 2, Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: "name"}}}
	var out bytes.Buffer
	c := New(tape{out: &out}, testMost)
	for _, err := range []error{
		c.Send(&dlmv1.ClientFrame{Requests: []*dlmv1.Request{request, request}}),
		c.Send(&dlmv1.ClientFrame{}),
		c.End(status.New(codes.Unavailable, "the server is stopping")),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(out.Bytes(), uint16(out.Len()))
	f.Add(out.Bytes()[:out.Len()-1], uint16(7))
	f.Add([]byte("\x01\x00\x0f\xff\xffhalf"), uint16(1))
	f.Add([]byte("\x01\xff\xff\xff\xff"), uint16(2))
	f.Add([]byte("\x02\x00\x00\x00\x00\x01\x00\x00\x00\x01\xff"), uint16(3))
	f.Add([]byte("PRI * HTTP/2.0"), uint16(4))
	f.Fuzz(func(t *testing.T, sent []byte, piece uint16) {
		s := &stingy{in: pieces{bytes.NewReader(sent), 1 + int(piece)}}
		c := New(s, testMost)
		s.of = c
		for rest := sent; ; {
			want, end := &dlmv1.ClientFrame{}, error(nil)
			rest, end = reading(rest, want)
			got := &dlmv1.ClientFrame{}
			switch err := c.Recv(got); {
			case errors.Is(end, errNotProtobuf) && (err == nil || errors.Is(err, ErrMalformed)): // see FuzzDecode of the messages
			case end != nil && errors.Is(err, end):
			case end == nil && hasUnknown(want.ProtoReflect()):
				if errors.Is(err, ErrMalformed) {
					return
				}
				if err != nil || !hasUnknown(got.ProtoReflect()) {
					t.Fatalf("received %v, %v; sent was %v", got, err, want)
				}
			case end == nil && err == nil && proto.Equal(got, want):
			default:
				t.Fatalf("received %v, %v; sent was %v, %v", got, err, want, end)
			}
			if s.worst != "" {
				t.Fatal(s.worst)
			}
			if end != nil {
				return
			}
		}
	})
}

// errNotProtobuf: protobuf's own codec refuses the frame. The generated one may let it pass.
var errNotProtobuf = errors.New("not protobuf")

// hasUnknown says whether a message holds an unknown field somewhere. To protobuf's own codec a known field of another type is one, to the
// generated codec an error; and the one writes the numbers of unknown fields anew, which the other keeps as they came.
func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = found || hasUnknown(v.Message())
		}
		return !found
	})
	return found
}

// reading takes the first message off b.
func reading(b []byte, m proto.Message) (rest []byte, _ error) {
	if len(b) == 0 {
		return nil, io.EOF
	}
	if len(b) < headerBytes {
		return nil, io.ErrUnexpectedEOF
	}
	kind, length, b := b[0], int(binary.BigEndian.Uint32(b[1:])), b[headerBytes:]
	if kind != kindFrame && kind != kindEnd {
		return nil, ErrMalformed
	}
	if length > testMost {
		return nil, ErrTooLarge
	}
	if len(b) < length {
		return nil, io.ErrUnexpectedEOF
	}
	why := &spb.Status{}
	if kind == kindEnd {
		m = why
	}
	if err := proto.Unmarshal(b[:length], m); err != nil {
		if kind == kindEnd {
			return nil, ErrMalformed
		}
		return nil, errNotProtobuf
	}
	if kind == kindEnd && why.GetCode() == 0 {
		return nil, io.EOF
	}
	if kind == kindEnd {
		return nil, status.FromProto(why).Err()
	}
	return b[length:], nil
}
