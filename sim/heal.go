package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
	"dlm/replica"
	"dlm/wal"
)

// closeAll lets every actor give up and close its session.
func (w *World) closeAll() {
	for _, c := range w.clients {
		if !c.up {
			c.start()
		}
		for _, a := range c.actors {
			a.closed = true
			if a.session != 0 {
				c.later(time.Millisecond, func() {
					if a.session != 0 {
						a.close(func() {})
					}
				})
			}
		}
	}
}

// noOrphans: whoever holds a lock in a live session was told so, unless a call of the client still runs (G8). It has to be
// seen before the sessions are closed, which would take orphans along.
func (w *World) noOrphans() {
	if !w.server.up {
		return
	}
	locks := w.server.node.Core().Read(&dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{}}})
	for _, k := range locks.GetLocks() {
		for _, h := range k.GetHolders() {
			for _, c := range w.clients {
				for _, a := range c.actors {
					if !c.up || a.session != h.GetSession() || len(c.calls) > 0 {
						continue
					}
					w.checked("G8 orphans")
					if !slices.Contains(w.tokens, h.GetToken()) && !h.GetRevoked() {
						w.fail("G8", "session %d holds %q under token %d, and nobody was told", a.session, k.GetLock(), h.GetToken())
					}
				}
			}
		}
	}
}

// quiet: no call is open, and the lock table is empty.
func (w *World) quiet() bool { return w.unfinished() == "" }

// unfinished says what is still to come to rest.
func (w *World) unfinished() string {
	if !w.server.up {
		return "the server is down"
	}
	for _, c := range w.clients {
		if n := len(c.calls); n > 0 {
			return "client " + strconv.Itoa(c.id) + " has " + strconv.Itoa(n) + " calls open"
		}
	}
	locks := w.server.node.Core().Read(&dlmv1.Read{Op: &dlmv1.Read_ListLocks{ListLocks: &dlmv1.ListLocks{}}})
	sessions := w.server.node.Core().Read(&dlmv1.Read{Op: &dlmv1.Read_ListSessions{ListSessions: &dlmv1.ListSessions{}}})
	if len(locks.GetLocks())+len(sessions.GetSessions()) > 0 {
		return fmt.Sprintf("there are locks %v and sessions %v (G8)", locks.GetLocks(), sessions.GetSessions())
	}
	if !w.server.node.Idle() {
		return "the server is busy"
	}
	if d := w.server.node.Disk(); d.Level != replica.DiskOK {
		return fmt.Sprintf("the disk has room and is said to be %v", d.Level)
	}
	return ""
}

// lastCheck compares the end with the log, cuts the power once more, and compares again.
func (w *World) lastCheck() {
	s := w.server
	w.logCheck.remember(s.node)
	applied := s.node.Applied()
	w.checkFiles()
	s.end(true, nil)
	s.start(nil)
	if w.failure != nil {
		return
	}
	if !w.runUntil(w.sim.Now()+10*time.Second, func() bool { return s.node != nil && s.node.Leading() && s.node.Idle() }) {
		w.fail("L5", "nobody leads 10 s after the last restart")
		return
	}
	if s.node.Applied() < applied {
		w.fail("G5", "log position %d was applied, %d is the last one after a power cut", applied, s.node.Applied())
	}
	w.checkFiles()
	w.note("end", s.node.Core().Hash(), s.node.Applied(), s.node.Core().LastToken())
}

// checkFiles compares what lies on the disk with the appends in the log.
func (w *World) checkFiles() {
	s, live := w.server, 0
	s.node.Core().EachFile(func(r core.FileRecord) {
		live++
		w.checked("G5 file")
		f := w.logCheck.file(r.Name)
		if f == nil {
			w.fail("G5", "there is a file %q that nobody appended to", r.Name)
			return
		}
		got, err := readAll(s.store, r)
		for err != nil && w.disks.refused(err) {
			got, err = readAll(s.store, r)
		}
		if err != nil {
			w.fail("G5", "file %q: %v", r.Name, err)
		} else if !bytes.Equal(got, f.data) {
			w.fail("G5", "file %q has %d bytes that are not the %d acknowledged ones", r.Name, len(got), len(f.data))
		}
	})
	for _, f := range w.logCheck.files {
		if f.died == 0 {
			live--
		}
	}
	if live != 0 {
		w.fail("G5", "%d files are missing", -live)
	}
}

func readAll(store *wal.Store, r core.FileRecord) ([]byte, error) {
	var all []byte
	for uint64(len(all)) < r.Length {
		got, err := store.ReadFile(r.ID, r.Length, r.TailCRC, uint64(len(all)), 256<<10)
		if err != nil {
			return nil, err
		}
		if len(got) == 0 {
			break
		}
		all = append(all, got...)
	}
	return all, nil
}
