package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Preface is what a client sends first: the protocol's name and its version. To a server of another kind it is a whole line, even a whole
// request: such a one answers at once instead of waiting for the rest, and the client knows what it has met.
const Preface = "DLM\x01\r\n\r\n"

// Kinds of messages; the numbers are frozen. HTTP/2's first frame begins with 0, so that neither side takes it for a message.
const (
	kindFrame = 1
	kindEnd   = 2
)

const (
	headerBytes = 5
	// bufferBytes is read at once, and kept for each connection; larger messages get a buffer of their own, which is kept up to keepBytes.
	bufferBytes = 16 << 10
	keepBytes   = 64 << 10
)

// What Recv ends with beside io.EOF (between two messages), the network's errors and the server's last word, a status error.
var (
	// ErrTooLarge: a message is announced that is larger than may be.
	ErrTooLarge = errors.New("wire: the message is too large")
	// ErrMalformed: what came is no message of this protocol.
	ErrMalformed = errors.New("wire: malformed")
)

// Message is a protobuf message with the codec that vtprotobuf generates, which takes strings that are not UTF-8, other than protobuf's
// own: to refuse them is for who knows what the message means.
type Message interface {
	// SizeVT is how many bytes the message takes.
	SizeVT() int
	// MarshalToSizedBufferVT encodes it to the end of room, and says how many bytes that took.
	MarshalToSizedBufferVT(room []byte) (int, error)
	// UnmarshalVT decodes into an empty message, and keeps nothing of b.
	UnmarshalVT(b []byte) error
}

// Conn sends and receives messages over one connection, whose owner closes it.
type Conn struct {
	raw  net.Conn
	most int // bytes of a message that is received

	in    *bufio.Reader
	large bytes.Buffer // for what does not fit into in

	mu  sync.Mutex // messages go out one after the other; guards out
	out []byte     // room to encode them
}

// New is what the preface is followed by. Received messages may have up to most bytes.
func New(raw net.Conn, most int) *Conn {
	return &Conn{raw: raw, most: most, in: bufio.NewReaderSize(raw, bufferBytes)}
}

// Begin is New for the client, which announces itself first.
func Begin(raw net.Conn, most int) (*Conn, error) {
	if _, err := io.WriteString(raw, Preface); err != nil {
		return nil, err
	}
	return New(raw, most), nil
}

// Send sends a frame.
func (c *Conn) Send(m Message) error { return c.send(kindFrame, m) }

// End sends the last word. The caller closes the connection afterwards, and may do so meanwhile: the other side may not be reading.
func (c *Conn) End(why *status.Status) error { return c.send(kindEnd, lastWord{why.Proto()}) }

func (c *Conn) send(kind byte, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := m.SizeVT()
	out := slices.Grow(c.out[:0], headerBytes+size)[:headerBytes+size]
	out[0] = kind
	binary.BigEndian.PutUint32(out[1:], uint32(size))
	n, err := m.MarshalToSizedBufferVT(out[headerBytes:])
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes, %d were expected", n, size)
	}
	if err != nil {
		_ = c.raw.Close() // who receives would wait in vain for what cannot be said
		return fmt.Errorf("wire: encoding a message: %w", err)
	}
	if cap(out) <= keepBytes {
		c.out = out
	}
	_, err = c.raw.Write(out)
	return err
}

// Recv receives the next frame into m, which is empty.
func (c *Conn) Recv(m Message) error {
	header, err := c.in.Peek(headerBytes)
	if err != nil {
		return cut(err, len(header))
	}
	kind, length := header[0], int64(binary.BigEndian.Uint32(header[1:]))
	switch {
	case kind != kindFrame && kind != kindEnd:
		return fmt.Errorf("%w: a message of kind %d, known are %d and %d", ErrMalformed, kind, kindFrame, kindEnd)
	case length > int64(c.most):
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrTooLarge, length, c.most)
	}
	_, _ = c.in.Discard(headerBytes) // they are there
	if kind == kindEnd {
		return c.end(length)
	}
	return c.read(m, length)
}

// read reads a message of so many bytes.
func (c *Conn) read(m Message, length int64) error {
	if length <= bufferBytes {
		b, err := c.in.Peek(int(length))
		if err != nil {
			return cut(err, headerBytes)
		}
		err = unmarshal(b, m)
		_, _ = c.in.Discard(int(length))
		return err
	}
	// The buffer grows as bytes arrive.
	defer func() {
		if c.large.Reset(); c.large.Cap() > keepBytes {
			c.large = bytes.Buffer{}
		}
	}()
	if _, err := io.CopyN(&c.large, c.in, length); err != nil {
		return cut(err, headerBytes)
	}
	return unmarshal(c.large.Bytes(), m)
}

// end reads the last word.
func (c *Conn) end(length int64) error {
	why := lastWord{&spb.Status{}}
	if err := c.read(why, length); err != nil {
		return err
	}
	if codes.Code(why.GetCode()) == codes.OK {
		return io.EOF
	}
	return status.FromProto(why.Status).Err()
}

// lastWord is a Message of a status, which has no generated codec.
type lastWord struct{ *spb.Status }

func (w lastWord) SizeVT() int                { return proto.Size(w.Status) }
func (w lastWord) UnmarshalVT(b []byte) error { return proto.Unmarshal(b, w.Status) }

func (w lastWord) MarshalToSizedBufferVT(room []byte) (int, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend(room[:0], w.Status)
	return len(b), err
}

func unmarshal(b []byte, m Message) error {
	if err := m.UnmarshalVT(b); err != nil {
		return fmt.Errorf("%w: failed to unmarshal a message of %d bytes: %w", ErrMalformed, len(b), err)
	}
	return nil
}

// cut tells the end of a connection in the midst of a message, of which so many bytes have come at least, from one between two.
func cut(err error, have int) error {
	if errors.Is(err, io.EOF) && have > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
