package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"dlm/client"
)

// A command under `dlm lock` acts under its hold through a door: a local socket whose other end is the dlm that has the
// session. The session cannot be attached instead, which would fence that dlm off and cost it the lock.
//
//	dlm lock --socket (DLM_HOLD)-- dlm append, rm, renew
//	   |                           (in the command)
//	   +-- session --> server

// envDoor names the door's address.
const envDoor = "DLM_HOLD"

// errand is what comes in by the door, answered by an outcome. Both as JSON, one after the other.
type errand struct {
	Op    string // "append", "delete" or "renew"
	Token uint64 // the sender believes in
	File  string
	Data  []byte
	Limit time.Duration
}

type outcome struct {
	Offset uint64
	Code   int
	Error  string
}

// door is the holder's end.
type door struct {
	l  *client.Lock
	ln net.Listener
}

// openDoor listens where only processes of this user on this machine are let in.
func openDoor(l *client.Lock) (*door, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	// An abstract name leaves no file behind, whatever becomes of us.
	ln, err := net.Listen("unix", "@dlm-"+hex.EncodeToString(random[:]))
	if err != nil {
		return nil, fmt.Errorf("the socket for the command: %w", err)
	}
	d := &door{l, ln}
	go d.serve()
	return d, nil
}

func (d *door) address() string { return d.ln.Addr().String() }

func (d *door) close() { _ = d.ln.Close() }

func (d *door) serve() {
	for {
		conn, err := d.ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if samePerson(conn) {
				d.talk(conn)
			}
		}()
	}
}

func (d *door) talk(conn net.Conn) {
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var e errand
		if err := in.Decode(&e); err != nil {
			return
		}
		var o outcome
		var err error
		if o.Offset, err = d.run(e); err != nil {
			o.Code, o.Error = codeOf(err), say(err)
		}
		if err := out.Encode(o); err != nil {
			return
		}
	}
}

// run does not outlive the hold: what it waits for then ends with the session.
func (d *door) run(e errand) (offset uint64, err error) {
	if e.Token != d.l.Token() {
		return 0, &exitError{exitLost, fmt.Errorf("token %d is not the current hold of %q, %d is", e.Token, d.l.Name(), d.l.Token())}
	}
	ctx := context.Background()
	switch e.Op {
	case "append":
		return d.l.Append(ctx, e.File, e.Data)
	case "delete":
		return 0, d.l.Delete(ctx, e.File)
	case "renew":
		return 0, d.l.Renew(ctx, e.Limit)
	}
	return 0, fmt.Errorf("%q is not known here", e.Op)
}

// visitor is the command's end.
type visitor struct {
	conn  net.Conn
	in    *json.Decoder
	out   *json.Encoder
	token uint64
}

// visit knocks at the door of the `dlm lock` that this process runs under.
func visit(address string, token uint64) (*visitor, error) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return nil, &exitError{exitLost, fmt.Errorf("the dlm lock that this command runs under is gone: %w", errors.Unwrap(err))}
	}
	return &visitor{conn, json.NewDecoder(conn), json.NewEncoder(conn), token}, nil
}

func (v *visitor) send(ctx context.Context, e errand) (uint64, error) {
	stop := context.AfterFunc(ctx, func() { _ = v.conn.Close() })
	defer stop()
	e.Token = v.token
	var o outcome
	err := v.out.Encode(e)
	if err == nil {
		err = v.in.Decode(&o)
	}
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, &exitError{exitLost, fmt.Errorf("the dlm lock that this command runs under has ended: %w", err)}
	case o.Code != 0:
		return 0, &exitError{o.Code, errors.New(o.Error)}
	}
	return o.Offset, nil
}

func (v *visitor) close() { _ = v.conn.Close() }

// insideLock: this process runs under `dlm lock`, which holds that lock.
func insideLock(name string) (address string, ok bool) {
	address = os.Getenv(envDoor)
	return address, address != "" && os.Getenv("DLM_LOCK") == name
}
