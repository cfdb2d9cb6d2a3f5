package rig

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// frame is one of HTTP/2.
func frame(kind byte, payload string) []byte {
	return append([]byte{0, 0, byte(len(payload)), kind, 0, 0, 0, 0, 1}, payload...)
}

// message is one of a bare connection.
func message(kind byte, payload string) []byte {
	return append([]byte{kind, 0, 0, 0, byte(len(payload))}, payload...)
}

func TestFraming(t *testing.T) {
	for name, test := range map[string]struct {
		stream [][]byte
		bare   bool
	}{
		"HTTP/2": {stream: [][]byte{frame(4, "settings"), frame(1, "headers"), frame(0, "abcdef")}},
		"bare":   {stream: [][]byte{message(2, "no data"), message(1, ""), message(1, "abcdef")}, bare: true},
	} {
		stream := bytes.Join(test.stream, nil)
		middle := len(stream) - 3
		for cut := range stream { // in two reads
			f := framing{bare: test.bare}
			got := f.next(stream[:cut])
			if second := f.next(stream[cut:]); second >= 0 {
				got = cut + second
			}
			want := middle
			if cut >= middle-3 && cut < middle {
				want = -1 // the header came with one read and the middle with the next
			}
			if got != want {
				t.Errorf("%s, cut at %d: the middle is at %d, it should be at %d", name, cut, got, want)
			}
		}
	}
}

// through gives both ends of a connection through a proxy.
func through(t *testing.T) (p *Proxy, client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if p, err = NewProxy(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if client, err = net.Dial("tcp", p.Addr()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return p, client, server
}

func TestProxyCutsInAFrame(t *testing.T) {
	want := frame(0, "abcdef")[:12]
	for range 20 { // who reads late finds the reset, and not what came before it
		p, client, server := through(t)
		p.CutInFrame(Down)
		if _, err := server.Write(frame(0, "abcdef")); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if err == nil || !bytes.HasPrefix(want, got) {
			t.Fatalf("got %q and %v, want %q and a reset", got, err, want)
		}
		if p.Stats().CutInFrame != [2]int{Down: 1} {
			t.Fatalf("%+v", p.Stats())
		}
		if len(got) == len(want) {
			return
		}
	}
	t.Error("never did anything of the frame come through")
}

func TestProxyHoldsBack(t *testing.T) {
	p, client, server := through(t)
	p.Silence(true, false)
	if _, err := client.Write([]byte("up")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("down")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := client.Read(b); err != nil || string(b[:n]) != "down" {
		t.Errorf("the other direction: %q, %v", b[:n], err)
	}
	_ = server.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := server.Read(b); err == nil {
		t.Errorf("%q came through the silence", b[:n])
	}
	for p.Stats().Held[Up] == 0 { // the proxy may come to it late
		time.Sleep(time.Millisecond)
	}
	p.Silence(false, false)
	_ = server.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := server.Read(b); err != nil || string(b[:n]) != "up" {
		t.Errorf("after it: %q, %v", b[:n], err)
	}
	if p.Cut() != 1 || p.Stats().Held[Up] != 1 {
		t.Errorf("%+v", p.Stats())
	}
	if n, err := server.Read(b); err == nil {
		t.Errorf("%q came over a cut connection", b[:n])
	}
}
