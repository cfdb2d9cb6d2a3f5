package sim

import (
	"fmt"
	"path"
	"strings"
	"time"

	"dlm/netsim"
	"dlm/replica"
	"dlm/sim/simdisk"
)

// up and down record the life of a process.
func (s *scribe) up(lane Lane, format string, args ...any) {
	if s != nil {
		id := s.happened(Event{Lane: lane, Client: -1, Kind: KindUp, Text: fmt.Sprintf(format, args...)})
		if lane == serverLane {
			s.upEvent = id
		}
	}
}

// downFault is nil if no fault of the plan is to blame.
func (s *scribe) down(lane Lane, what string, f *Fault, text string) {
	if s == nil {
		return
	}
	e := Event{Lane: lane, Client: -1, Kind: KindDown, What: what, Text: text}
	if f != nil {
		e.Causes = []uint64{s.faults[f], s.w.sim.Cause}
	}
	s.happened(e)
	if lane == serverLane {
		s.arrived, s.batch, s.written = map[reqKey]uint64{}, nil, 0
	}
}

// fault records that a fault of the plan strikes. Only clients' faults have a client, and that of a disk may strike later.
func (s *scribe) fault(f *Fault) {
	if s == nil {
		return
	}
	e := Event{Client: -1, Kind: KindFault, What: string(f.Kind), Lane: serverLane, Text: "fault: " + string(f.Kind)}
	switch f.Kind {
	case FaultClientCrash, FaultClientStall, FaultCut, FaultClog, FaultReset:
		e.Lane = clientLane(f.Client)
	case FaultRate:
		if f.Client >= 0 {
			e.Lane = clientLane(f.Client)
		}
		e.Text += fmt.Sprintf(", %d ppm fast", f.PPM%s.w.plan.Config.RateBound())
	case FaultDiskCrash, FaultSync, FaultWrite, FaultRead, FaultSlow, FaultFull, FaultRot, FaultStray, FaultStale:
		e.Lane = diskLane
	}
	switch f.Kind {
	case FaultClog, FaultSlow, FaultFull:
		e.Until = f.At + f.For
		e.Text += ", for " + ms(f.For)
		if f.Kind == FaultClog {
			e.Text += [3]string{", to the server", ", to the client", ", both ways"}[min(f.Way, 2)]
		}
	case FaultServerCrash, FaultDiskCrash, FaultCrashLoop:
		if f.Power {
			e.Text += ", with a power cut"
		}
	}
	id := s.happened(e)
	s.faults[f] = id
	if e.Lane == diskLane {
		s.diskHurt = id
	}
}

// freeze records that a process stands still from now on.
func (s *scribe) freeze(lane Lane, d time.Duration, text string) {
	if s != nil {
		s.happened(Event{Lane: lane, Client: -1, Kind: KindFreeze, Until: s.w.sim.Now() + d, Text: text + " for " + ms(d)})
	}
}

// link records that a way of a client's link is cut or mended.
func (s *scribe) link(client int, way netsim.Way, cut bool) {
	if s == nil {
		return
	}
	e := Event{Lane: clientLane(client), Kind: KindMend, Way: way, Text: "the link to the server is mended"}
	if way == netsim.ToClient {
		e.Text = "the link from the server is mended"
	}
	if cut {
		e.Kind = KindCut
		e.Text = strings.Replace(e.Text, "mended", "cut", 1)
	}
	s.add(e)
}

// diskTask records the begin of a task that takes d, and returns its event.
func (s *scribe) diskTask(what string, d time.Duration, log *replica.LogTask) uint64 {
	if s == nil {
		return 0
	}
	e := Event{Lane: diskLane, Client: -1, Kind: KindDisk, What: what, Until: s.w.sim.Now() + d}
	switch {
	case log == nil:
		e.Text = "data files and snapshots: " + ms(d)
	default:
		e.Causes, s.batch = s.batch, nil
		e.Text = "the log: write and sync, " + ms(d)
		if first, last := log.Indexes(); last > 0 {
			e.Index = last
			e.Text = fmt.Sprintf("the log: write and sync %s, %s", positions(first, last), ms(d))
		}
	}
	s.tasks[log != nil] = s.add(e)
	return s.tasks[log != nil]
}

// named records that a data file or its sidecar comes or goes, and that the names of a directory are synced.
func (s *scribe) named(o simdisk.Op) {
	e := Event{Lane: diskLane, Client: -1, Kind: KindFile, What: o.Kind}
	switch {
	case o.Kind == "syncdir":
		e.Kind, e.Text = KindSyncDir, "the names in "+o.Name+" are synced"
	case path.Dir(o.Name) != filesDir:
		return
	default:
		e.Text = o.Name + map[string]string{"create": " is created", "remove": " is removed", "rename": " gets its name"}[o.Kind]
	}
	if t := s.w.server.tasks.running; t != nil {
		e.Causes = []uint64{s.tasks[t.log]}
	}
	s.add(e)
}

func positions(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("position %d", first)
	}
	return fmt.Sprintf("positions %d to %d", first, last)
}

// diskDone records its end, and what has become of the files.
func (s *scribe) diskDone(task uint64, what string, err error) {
	if s == nil {
		return
	}
	e := Event{Lane: diskLane, Client: -1, Kind: KindDiskDone, What: what, Text: "done", Causes: []uint64{task}, Refused: err != nil}
	if begun := s.rec.Event(task); begun != nil {
		e.Text, e.Index = "done: "+begun.Text, begun.Index
	}
	if err != nil {
		e.Text = "fails: " + err.Error()
		e.Causes = append(e.Causes, s.diskHurt)
	}
	id := s.happened(e)
	if what == "log" {
		s.written = id
	}
	s.files(id)
}

// files records the segments and snapshots that have come and gone.
func (s *scribe) files(by uint64) {
	now := s.w.server.disk.Names(dataDir)
	for _, change := range [2]struct {
		from, to []string
		text     string
	}{{s.names, now, "appears"}, {now, s.names, "is removed"}} {
		old := map[string]bool{}
		for _, n := range change.from {
			old[n] = true
		}
		for _, n := range change.to {
			e := Event{Lane: diskLane, Client: -1, What: change.text, Text: n + " " + change.text, Causes: []uint64{by}}
			switch {
			case old[n] || s.names == nil:
				continue
			case strings.HasPrefix(n, "segment-"):
				e.Kind = KindSegment
			case strings.HasPrefix(n, "snapshot-"):
				e.Kind = KindSnapshot
			default:
				continue
			}
			s.add(e)
		}
	}
	s.names = now
}
