package rig

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"dlm/wire"
)

// Proxy passes TCP connections on, and breaks them when it is told to. It knows just enough of HTTP/2, and of the client's bare
// connections, to cut inside a frame: lengths.
type Proxy struct {
	l net.Listener

	mu     sync.Mutex
	target string
	links  map[*link]bool
	// changed is closed and replaced when a gate opens.
	changed  chan struct{}
	silent   [2]bool // by direction
	refuse   bool
	closed   bool
	cutFrame [2]bool // the next data frame in this direction is passed on by half, and the connection ends
	stats    ProxyStats
	running  sync.WaitGroup
}

// Direction of bytes.
type Direction int

// The directions.
const (
	Up   Direction = iota // to the server
	Down                  // to the client
)

// ProxyStats counts what a proxy did.
type ProxyStats struct {
	Connections, Refused, Cut int
	CutInFrame                [2]int // by direction
	Held                      [2]int // chunks of bytes that had to wait
}

// NewProxy listens on a free port of the loopback.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{l: l, target: target, links: map[*link]bool{}, changed: make(chan struct{})}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Close ends everything.
func (p *Proxy) Close() {
	_ = p.l.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.running.Wait()
}

// SetTarget is where later connections go.
func (p *Proxy) SetTarget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// Stats are the counts so far.
func (p *Proxy) Stats() ProxyStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Silence holds back all bytes in these directions from now on, of new connections too, until it is called again.
func (p *Proxy) Silence(up, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = [2]bool{up, down}
	close(p.changed)
	p.changed = make(chan struct{})
}

// Refuse has new connections ended as soon as they are accepted.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// CutInFrame ends the connection that next carries a data frame in this direction, in the middle of that frame.
func (p *Proxy) CutInFrame(d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutFrame[d] = true
}

// Cut ends all connections at once, and says how many. What was held back is never delivered.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for l := range p.links {
		if l.end() {
			n++
		}
	}
	p.stats.Cut += n
	return n
}

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.stats.Connections++
		refuse, target := p.refuse, p.target
		if refuse {
			p.stats.Refused++
		}
		p.mu.Unlock()
		if refuse {
			abort(c)
			continue
		}
		p.running.Go(func() { p.serve(c, target) })
	}
}

// link is one connection, both halves.
type link struct {
	client, server net.Conn
	bare           atomic.Bool // it is no HTTP/2, as the client's first byte has told
	once           sync.Once
	ended          chan struct{}
}

func (l *link) end() (first bool) {
	l.once.Do(func() {
		first = true
		close(l.ended)
		abort(l.client)
		abort(l.server)
	})
	return first
}

// abort closes with a reset, as a broken network would look like at best.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (p *Proxy) serve(c net.Conn, target string) {
	s, err := net.DialTimeout("tcp", target, 2*time.Second)
	if err != nil {
		abort(c)
		return
	}
	l := &link{client: c, server: s, ended: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = true
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.end()
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, Up, c, s) })
	both.Go(func() { p.pump(l, Down, s, c) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) pump(l *link, d Direction, from, to net.Conn) {
	defer l.end()
	var frames framing
	buf := make([]byte, 32<<10)
	for first := true; ; first = false {
		n, err := from.Read(buf)
		if first && n > 0 {
			frames = l.framing(d, buf[0])
		}
		if n > 0 {
			if !p.wait(l, d) {
				return
			}
			half := frames.next(buf[:n])
			if half >= 0 && p.takeCut(d) {
				_, _ = to.Write(buf[:half])
				time.Sleep(5 * time.Millisecond) // a reset would overtake what was just written
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// framing is that of a direction which begins with this byte. The server says nothing before the client has told what the connection is,
// or says what is HTTP/2.
func (l *link) framing(d Direction, first byte) framing {
	if d == Up && first == wire.Preface[0] {
		l.bare.Store(true)
	}
	switch bare := l.bare.Load(); {
	case d == Down:
		return framing{bare: bare}
	case bare:
		return framing{bare: bare, skip: len(wire.Preface)}
	}
	return framing{skip: len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}
}

// wait returns when bytes may pass; false if the connection has ended.
func (p *Proxy) wait(l *link, d Direction) bool {
	for first := true; ; first = false {
		p.mu.Lock()
		silent, changed := p.silent[d], p.changed
		if silent && first {
			p.stats.Held[d]++
		}
		p.mu.Unlock()
		if !silent {
			return true
		}
		select {
		case <-changed:
		case <-l.ended:
			return false
		}
	}
}

func (p *Proxy) takeCut(d Direction) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cutFrame[d] {
		return false
	}
	p.cutFrame[d] = false
	p.stats.CutInFrame[d]++
	return true
}

// framing follows the frames of one direction. Those of HTTP/2 have 3 bytes of length, a type and 5 bytes more before the payload, those
// of bare connections a kind and 4 bytes of length.
type framing struct {
	bare   bool
	skip   int // bytes until the next header
	header []byte
}

// next returns the middle of the first data frame whose header ends in b and whose middle lies in b too, or -1.
func (f *framing) next(b []byte) int {
	headerLen := 9
	if f.bare {
		headerLen = 5
	}
	middle := -1
	for at := 0; at < len(b); {
		if f.skip > 0 {
			n := min(f.skip, len(b)-at)
			f.skip -= n
			at += n
			continue
		}
		n := min(headerLen-len(f.header), len(b)-at)
		f.header = append(f.header, b[at:at+n]...)
		at += n
		if len(f.header) < headerLen {
			break
		}
		data := false
		data, f.skip = f.payload()
		if data && f.skip >= 2 && at+f.skip/2 <= len(b) && middle < 0 {
			middle = at + f.skip/2
		}
		f.header = f.header[:0]
	}
	return middle
}

// payload is what the header says of what follows it: whether it is data, and how many bytes.
func (f *framing) payload() (data bool, length int) {
	if f.bare {
		const kindFrame = 1 // as package wire says
		return f.header[0] == kindFrame, int(binary.BigEndian.Uint32(f.header[1:]))
	}
	return f.header[3] == 0, int(binary.BigEndian.Uint32(append([]byte{0}, f.header[:3]...)))
}
