package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	dlmv1 "dlm/api/dlm/v1"
)

const testMost = 256 << 10

// tape is a connection whose two directions are what a test makes of them.
type tape struct {
	net.Conn
	in  io.Reader
	out io.Writer
}

func (t tape) Read(b []byte) (int, error)  { return t.in.Read(b) }
func (t tape) Write(b []byte) (int, error) { return t.out.Write(b) }
func (t tape) Close() error                { return nil }

// hears is a Conn to which exactly these bytes come.
func hears(b []byte) *Conn { return New(tape{in: bytes.NewReader(b)}, testMost) }

// sent is what a Conn sends while it does something.
func sent(t *testing.T, do func(c *Conn) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := do(New(tape{out: &out}, testMost)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sized is a message of so many bytes. A few numbers cannot be had, for its length takes more bytes as it grows.
func sized(t testing.TB, bytes int) *dlmv1.BackupPart {
	t.Helper()
	m := &dlmv1.BackupPart{}
	for n := max(bytes-6, 0); n < bytes; n++ {
		m.Data = make([]byte, n)
		if proto.Size(m) == bytes {
			break
		}
	}
	if proto.Size(m) != bytes {
		t.Fatalf("there is no message of %d bytes", bytes)
	}
	for i := range m.Data {
		m.Data[i] = byte(i * 7)
	}
	return m
}

// sizes are those at which something changes, and their neighbours.
var sizes = []int{
	0, 3, 4, 100, bufferBytes - headerBytes, bufferBytes - 1, bufferBytes, bufferBytes + 1, bufferBytes + headerBytes,
	keepBytes - headerBytes, keepBytes, keepBytes + 1, 3*keepBytes + 11, testMost - 1, testMost,
}

func frame(kind byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	return append(b, body...)
}

// The numbers are frozen: a server and a client of other versions speak them.
func TestBytesOnTheWire(t *testing.T) {
	if Preface != "\x44\x4c\x4d\x01\r\n\r\n" {
		t.Errorf("the preface is %q", Preface)
	}
	for _, row := range []struct {
		what string
		send func(c *Conn) error
		want string // in hex
	}{
		{
			"a frame",
			func(c *Conn) error { return c.Send(&dlmv1.ClientFrame{Requests: []*dlmv1.Request{{Session: 5}}}) },
			"01" + "00000004" + "0a02" + "0805",
		},
		{"an empty frame", func(c *Conn) error { return c.Send(&dlmv1.ServerFrame{}) }, "01" + "00000000"},
		{
			"a last word", func(c *Conn) error { return c.End(status.New(codes.Unavailable, "off")) },
			"02" + "00000007" + "080e" + "1203" + hex.EncodeToString([]byte("off")),
		},
		{"that all is well", func(c *Conn) error { return c.End(nil) }, "02" + "00000000"},
	} {
		if got := hex.EncodeToString(sent(t, row.send)); got != row.want {
			t.Errorf("%s is %s, want %s", row.what, got, row.want)
		}
	}
	long := sent(t, func(c *Conn) error { return c.Send(sized(t, 0x1234)) })
	if got := hex.EncodeToString(long[:headerBytes]); got != "0100001234" || len(long) != headerBytes+0x1234 {
		t.Errorf("%d bytes begin with %s", len(long), got)
	}
}

func TestBegin(t *testing.T) {
	var out bytes.Buffer
	c, err := Begin(tape{in: strings.NewReader(""), out: &out}, testMost)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(&dlmv1.BackupPart{}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != Preface+"\x01\x00\x00\x00\x00" {
		t.Errorf("sent %q", got)
	}
	if _, err := Begin(tape{out: brokenWriter{}}, testMost); !errors.Is(err, errBroken) {
		t.Errorf("over a broken connection: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// Frames of all sizes come as they were sent, however the network cuts them.
func TestRoundTrip(t *testing.T) {
	all := sent(t, func(c *Conn) error {
		for _, n := range sizes {
			if err := c.Send(sized(t, n)); err != nil {
				return err
			}
			if cap(c.out) > keepBytes {
				return fmt.Errorf("%d bytes are kept to encode messages", cap(c.out))
			}
		}
		return c.End(status.New(codes.ResourceExhausted, "enough"))
	})
	for how, cut := range map[string]func(io.Reader) io.Reader{
		"as much as fits":    func(r io.Reader) io.Reader { return r },
		"a byte at a time":   iotest.OneByteReader,
		"half of what fits":  iotest.HalfReader,
		"the end with data":  iotest.DataErrReader,
		"odd pieces":         func(r io.Reader) io.Reader { return pieces{r, 1009} },
		"pieces of a header": func(r io.Reader) io.Reader { return pieces{r, headerBytes} },
	} {
		t.Run(how, func(t *testing.T) {
			c := New(tape{in: cut(bytes.NewReader(all))}, testMost)
			for _, n := range sizes {
				var m dlmv1.BackupPart
				if err := c.Recv(&m); err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if !proto.Equal(&m, sized(t, n)) {
					t.Fatalf("%d bytes came as something else", n)
				}
				if c.large.Cap() > keepBytes {
					t.Fatalf("%d bytes are kept after a message of %d", c.large.Cap(), n)
				}
			}
			if err := c.Recv(&dlmv1.BackupPart{}); status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != "enough" {
				t.Errorf("the last word: %v", err)
			}
			if err := c.Recv(&dlmv1.BackupPart{}); !errors.Is(err, io.EOF) {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// pieces reads so many bytes at a time.
type pieces struct {
	io.Reader
	bytes int
}

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.bytes)]) }

// Of a message nothing is left in the next one: what is repeated in these would tell.
func TestNothingIsLeftOver(t *testing.T) {
	for _, size := range []int{10, bufferBytes + 1000, keepBytes + 1000} {
		one := &dlmv1.ClientFrame{Requests: []*dlmv1.Request{{Op: &dlmv1.Request_Append{Append: &dlmv1.Append{Data: make([]byte, size)}}}}}
		c := hears(sent(t, func(c *Conn) error {
			return errors.Join(c.Send(one), c.Send(one), c.Send(&dlmv1.ClientFrame{}), c.Send(one))
		}))
		for _, want := range []*dlmv1.ClientFrame{one, one, {}, one} {
			var got dlmv1.ClientFrame
			if err := c.Recv(&got); err != nil || !proto.Equal(&got, want) {
				t.Fatalf("appends of %d bytes: got %d requests, want %d: %v", size, len(got.GetRequests()), len(want.GetRequests()), err)
			}
		}
	}
}

// A message may be cut in two anywhere.
func TestSplitAtEveryByte(t *testing.T) {
	all := sent(t, func(c *Conn) error {
		return errors.Join(c.Send(sized(t, 50)), c.Send(sized(t, 0)), c.Send(sized(t, 60)), c.End(nil))
	})
	for at := range len(all) + 1 {
		c := New(tape{in: io.MultiReader(bytes.NewReader(all[:at]), bytes.NewReader(all[at:]))}, testMost)
		for _, n := range []int{50, 0, 60} {
			var m dlmv1.BackupPart
			if err := c.Recv(&m); err != nil || !proto.Equal(&m, sized(t, n)) {
				t.Fatalf("cut at %d, %d bytes: %v", at, n, err)
			}
		}
		if err := c.Recv(&dlmv1.BackupPart{}); !errors.Is(err, io.EOF) {
			t.Fatalf("cut at %d: a last word that all is well is %v, want EOF", at, err)
		}
	}
}

// A connection that ends between two messages is at its end; elsewhere something is missing.
func TestConnectionEnds(t *testing.T) {
	for _, size := range []int{0, 40, bufferBytes + 1, keepBytes + 1} {
		one := sent(t, func(c *Conn) error { return c.Send(sized(t, size)) })
		for _, at := range []int{0, 1, 4, 5, 6, 30, bufferBytes, bufferBytes + 5, len(one) - 1} {
			if at < 0 || at >= len(one) {
				continue
			}
			c := hears(append(bytes.Clone(one), one[:at]...))
			var m dlmv1.BackupPart
			if err := c.Recv(&m); err != nil {
				t.Fatal(err)
			}
			want := io.ErrUnexpectedEOF
			if at == 0 {
				want = io.EOF
			}
			if err := c.Recv(&m); !errors.Is(err, want) || want == io.ErrUnexpectedEOF && errors.Is(err, io.EOF) {
				t.Errorf("%d of %d bytes: %v, want %v", at, len(one), err, want)
			}
		}
	}
	// What the network says else is passed on.
	c := New(tape{in: io.MultiReader(strings.NewReader("\x01\x00"), iotest.ErrReader(errBroken))}, testMost)
	if err := c.Recv(&dlmv1.BackupPart{}); !errors.Is(err, errBroken) {
		t.Errorf("a broken connection: %v", err)
	}
}

func TestLastWord(t *testing.T) {
	for _, why := range []*status.Status{
		status.New(codes.Unavailable, "the server is stopping"),
		status.New(codes.Internal, ""),
		status.New(codes.Code(77), strings.Repeat("long ", bufferBytes)),
	} {
		err := hears(sent(t, func(c *Conn) error { return c.End(why) })).Recv(&dlmv1.BackupPart{})
		if got := status.Convert(err); got.Code() != why.Code() || got.Message() != why.Message() {
			t.Errorf("sent %v, came %v", why, err)
		}
	}
	for _, well := range []*status.Status{nil, status.New(codes.OK, ""), status.New(codes.OK, "bye")} {
		err := hears(sent(t, func(c *Conn) error { return c.End(well) })).Recv(&dlmv1.BackupPart{})
		if !errors.Is(err, io.EOF) {
			t.Errorf("%v came as %v", well, err)
		}
	}
}

func TestBadMessages(t *testing.T) {
	name, err := proto.Marshal(&dlmv1.GetLock{Lock: "name"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		what string
		b    []byte
		want error
		says string
	}{
		{"one byte too many", frame(kindFrame, make([]byte, testMost+1)), ErrTooLarge, "it has 262145 bytes, at most 262144 are allowed"},
		{"a header of 4 GB", []byte("\x01\xff\xff\xff\xff"), ErrTooLarge, "it has 4294967295 bytes"},
		{"a large last word", []byte("\x02\x80\x00\x00\x00"), ErrTooLarge, "it has 2147483648 bytes"},
		{"unknown kind", frame(3, nil), ErrMalformed, "kind 3"},
		{"what HTTP/2 begins with", frame(0, nil), ErrMalformed, "kind 0"},
		{"unknown kind that is large", []byte("P\xff\xff\xff\xff"), ErrMalformed, "kind 80"},
		{"not protobuf", frame(kindFrame, bytes.Repeat([]byte{0xff}, 100)), ErrMalformed, "failed to unmarshal a message of 100 bytes"},
		{"much that is not protobuf", frame(kindFrame, bytes.Repeat([]byte{0xff}, 100_000)), ErrMalformed, "of 100000 bytes"},
		{"half a message", frame(kindFrame, name[:len(name)-1]), ErrMalformed, "failed to unmarshal"},
		{"a last word that is none", frame(kindEnd, []byte{0xff}), ErrMalformed, "failed to unmarshal"},
		{"a last word that is not UTF-8", frame(kindEnd, []byte("\x12\x01\xff")), ErrMalformed, "UTF-8"},
	} {
		if err := hears(row.b).Recv(&dlmv1.GetLock{}); !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %v and %q", row.what, err, row.want, row.says)
		}
	}
	var out bytes.Buffer
	c := New(tape{out: &out}, testMost)
	for what, err := range map[string]error{
		"fails":      c.Send(changing{&dlmv1.GetLock{}, 3, 3, errBroken}),
		"has shrunk": c.Send(changing{&dlmv1.GetLock{}, 3, 2, nil}),
		"is no text": c.End(status.New(codes.Internal, "\xff")),
	} {
		if err == nil || out.Len() > 0 {
			t.Errorf("of a message whose encoding %s %d bytes were sent: %v", what, out.Len(), err)
		}
	}
}

// changing is a message that is encoded to another number of bytes than it announced, or to none.
type changing struct {
	*dlmv1.GetLock
	announced, encoded int
	err                error
}

func (c changing) SizeVT() int                                { return c.announced }
func (c changing) MarshalToSizedBufferVT([]byte) (int, error) { return c.encoded, c.err }

// stingy is a connection that compares, at each read, what a Conn has taken for the message with what has arrived.
type stingy struct {
	net.Conn
	in      io.Reader
	of      *Conn
	arrived int
	worst   string
}

func (s *stingy) Read(b []byte) (int, error) {
	// The buffer rounds up to the sizes that the allocator has.
	if have := s.of.large.Cap(); have > 2*s.arrived+s.arrived/4+bufferBytes {
		s.worst = fmt.Sprintf("%d bytes are taken when %d have arrived", have, s.arrived)
	}
	n, err := s.in.Read(b)
	s.arrived += n
	return n, err
}

// A header costs nothing but the promise: memory is taken as bytes arrive.
func TestMemoryFollowsWhatArrives(t *testing.T) {
	const announced = 256 << 20
	for _, have := range []int{0, 1000, 100_000, 1_000_000} {
		b := binary.BigEndian.AppendUint32([]byte{kindFrame}, announced)
		b = append(b, make([]byte, have)...)
		s := &stingy{in: pieces{bytes.NewReader(b), 4096}}
		c := New(s, announced)
		s.of = c
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.Recv(&dlmv1.BackupPart{})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, io.ErrUnexpectedEOF) || s.worst != "" {
			t.Errorf("%d bytes of %d: %v; %s", have, announced, err, s.worst)
		}
		// The buffers that were outgrown are as large as the last one together.
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(5*have+256<<10) {
			t.Errorf("%d bytes of %d: %d were taken", have, announced, took)
		}
	}
}

// crumbs is where everybody who writes gets a few bytes in at a time, if they are let.
type crumbs struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (c *crumbs) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		few := min(3, len(b))
		c.mu.Lock()
		c.all.Write(b[:few])
		c.mu.Unlock()
		b = b[few:]
		runtime.Gosched()
	}
	return n, nil
}

// Send and End by several goroutines: each message is whole.
func TestSendersDoNotInterleave(t *testing.T) {
	const senders, each = 8, 50
	out := &crumbs{}
	c := New(tape{out: out}, testMost)
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for n := range each {
				if err := c.Send(&dlmv1.BackupPart{Data: bytes.Repeat([]byte{byte(i)}, 2+3*n)}); err != nil {
					t.Error(err)
				}
			}
			if err := c.End(status.New(codes.Aborted, strings.Repeat("x", 10+i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	in, ends := hears(out.all.Bytes()), 0
	var next [senders]int
	for {
		var m dlmv1.BackupPart
		err := in.Recv(&m)
		switch {
		case errors.Is(err, io.EOF):
			if ends != senders || next != [senders]int{each, each, each, each, each, each, each, each} {
				t.Fatalf("came %v and %d last words", next, ends)
			}
			return
		case status.Code(err) == codes.Aborted:
			ends++
		case err != nil || len(m.GetData()) < 2 || int(m.GetData()[0]) >= senders:
			t.Fatalf("after %v: %v %v", next, err, &m)
		default:
			i := m.GetData()[0]
			if !bytes.Equal(m.GetData(), bytes.Repeat([]byte{i}, 2+3*next[i])) {
				t.Fatalf("of sender %d came %v, want %d bytes", i, m.GetData(), 2+3*next[i])
			}
			next[i]++
		}
	}
}

// Close of the connection ends whoever waits for it.
func TestCloseEndsAllCalls(t *testing.T) {
	raw, other := net.Pipe()
	defer other.Close()
	c := New(raw, testMost)
	ended := make(chan error, 3)
	go func() { ended <- c.Recv(&dlmv1.BackupPart{}) }()
	go func() { ended <- c.Send(&dlmv1.BackupPart{}) }()
	go func() { ended <- c.End(nil) }()
	if _, err := other.Read(make([]byte, 1)); err != nil { // one of them is at it, the other waits
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-ended; err == nil {
			t.Error("a call over a closed connection succeeded")
		}
	}
}
