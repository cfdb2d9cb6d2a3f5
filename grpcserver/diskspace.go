package grpcserver

import (
	"dlm/replica"
)

// tellDisk logs each change of the disk's room: what is refused from now on, and when that is over.
func (s *Server) tellDisk(d replica.Disk) {
	args := []any{"dir", s.opts.Dir, "free_bytes", d.Free, "reserve_bytes", d.Reserve, "log_bytes", d.Log}
	switch d.Level {
	case replica.DiskOK:
		s.opts.Logger.Info("the disk has room again: nothing is refused", args...)
	case replica.DiskTight:
		s.opts.Logger.Warn("the disk is nearly full: appends are refused until there is room", args...)
	case replica.DiskLow:
		s.opts.Logger.Warn("the disk is full: appends, new sessions and acquires are refused; renewals, releases and closes use what is left of the log", args...)
	case replica.DiskFull:
		s.opts.Logger.Error("the disk is full and the log has no room left: everything is refused until there is room", args...)
	}
}
