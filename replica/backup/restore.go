package backup

import (
	"errors"
	"io"

	"dlm/core"
	"dlm/wal"
	"dlm/wal/vfs"
)

// Target is the cluster that a backup becomes: of one member, under ids that no other cluster has.
type Target struct {
	core.Rebirth
	MemberID uint64
}

// Restore makes a data directory of a backup that was read no further than NewReader does, and returns the lock table in it. The
// directory is missing or empty, but for files named in besides. Whatever fails, and wherever the process ends, a server finds
// a whole store or refuses the directory (wal.ErrUnfinished). After an error it is as before, if the disk still allows that.
//
// Errors: fs.ErrExist if the directory is not empty; wal.ErrFull; those of the Reader and of core.Reborn.
func Restore(fsys vfs.FS, dir string, r *Reader, t Target, besides ...string) (*core.Core, error) {
	c, err := core.Reborn(r.State, t.Rebirth)
	if err != nil {
		return nil, err
	}
	w, err := wal.BeginRestore(fsys, dir, besides...)
	if err != nil {
		return nil, err
	}
	if err := fill(w, r, t, c); err != nil {
		return nil, errors.Join(err, w.Abandon())
	}
	return c, nil
}

func fill(w *wal.Restoration, r *Reader, t Target, c *core.Core) error {
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := w.WriteFile(p.File.ID, p.Offset, p.Data); err != nil {
			return err
		}
	}
	return w.Finish(wal.Identity{ClusterID: t.ClusterID, MemberID: t.MemberID}, wal.Snapshot{
		Index: c.Index(), Term: r.Header.Term + 1, Voters: []uint64{t.MemberID}, Data: c.Snapshot(),
	})
}
