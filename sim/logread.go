package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	dlmv1 "dlm/api/dlm/v1"
)

// read checks an answer to a read: it shows the log as it was at one position (G6), which is not before what had been
// answered when the read began, and it shows it rightly.
func (l *logChecker) read(r *dlmv1.Read, a *dlmv1.ReadAnswer, acked uint64) {
	if a.GetIndex() == 0 {
		return
	}
	l.w.checked("G6 read")
	if a.GetIndex() < acked {
		l.w.fail("G6", "a read saw position %d, though position %d had been answered before it began", a.GetIndex(), acked)
	}
	if wrong := l.wrong(r, a); wrong != "" {
		l.w.fail("G6", "a read at position %d saw %s", a.GetIndex(), wrong)
	}
}

// wrong says in words what is wrong with a read's answer; "" = nothing.
func (l *logChecker) wrong(r *dlmv1.Read, a *dlmv1.ReadAnswer) string {
	at := a.GetIndex()
	switch op := r.GetOp().(type) {
	case *dlmv1.Read_GetLock:
		if a.GetReason() == dlmv1.Reason_REASON_OK {
			return l.wrongLock(op.GetLock.GetLock(), a.GetLock(), at)
		}
		if goodName(op.GetLock.GetLock(), l.limits.GetNameBytes()) {
			return fmt.Sprintf("no lock %q but %v", op.GetLock.GetLock(), a.GetReason())
		}
	case *dlmv1.Read_CheckToken:
		current := false
		v := l.lock(op.CheckToken.GetLock()).at(at)
		for _, h := range v.holds {
			current = current || h.token == op.CheckToken.GetToken() && !h.revoked
		}
		if a.GetReason() == dlmv1.Reason_REASON_OK && current != a.GetCurrent() {
			return fmt.Sprintf("token %d of %q as current %v, the log says %v", op.CheckToken.GetToken(), op.CheckToken.GetLock(), a.GetCurrent(), current)
		}
	case *dlmv1.Read_ListLocks:
		return l.wrongLocks(op.ListLocks, a)
	case *dlmv1.Read_ListSessions:
		return l.wrongSessions(op.ListSessions, a)
	case *dlmv1.Read_ListFiles:
		return l.wrongFiles(op.ListFiles, a)
	case *dlmv1.Read_ReadFile:
		return l.wrongBytes(op.ReadFile, a)
	}
	return ""
}

// at is the lock as it was at a log position.
func (k *logLock) at(index uint64) (v lockVersion) {
	for i := len(k.history) - 1; i >= 0; i-- {
		if k.history[i].index <= index {
			return k.history[i]
		}
	}
	return v
}

func (l *logChecker) wrongLock(name string, got *dlmv1.LockInfo, at uint64) string {
	v := l.lock(name).at(at)
	want, have := v.describe(), describeLock(got)
	if want != have || got.GetLock() != name {
		return fmt.Sprintf("%q as %q: %s; the log says: %s", name, got.GetLock(), have, want)
	}
	return ""
}

func (v *lockVersion) describe() string {
	var b strings.Builder
	for _, h := range v.holds {
		fmt.Fprintf(&b, "session %d holds it under token %d (shared %v, revoked %v), ", h.session, h.token, h.shared, h.revoked)
	}
	for _, w := range v.waits {
		fmt.Fprintf(&b, "(%d, %d) waits (shared %v), ", w.session, w.sequence, w.shared)
	}
	fmt.Fprintf(&b, "delay until %d", v.delayed)
	return b.String()
}

func describeLock(i *dlmv1.LockInfo) string {
	v := lockVersion{delayed: i.GetDelayedUntil()}
	for _, h := range i.GetHolders() {
		v.holds = append(v.holds, logHold{
			session: h.GetSession(), token: h.GetToken(), shared: h.GetMode() == dlmv1.Mode_MODE_SHARED, revoked: h.GetRevoked(),
		})
	}
	for _, w := range i.GetWaiters() {
		v.waits = append(v.waits, logWait{
			session: w.GetSession(), sequence: w.GetSequence(), shared: w.GetMode() == dlmv1.Mode_MODE_SHARED,
		})
	}
	return v.describe()
}

// The defaults of the lists, as the protocol says.
const pageDefault = 100

func pageOf(limit uint64) int {
	if limit == 0 {
		return pageDefault
	}
	return int(limit)
}

func (l *logChecker) wrongLocks(op *dlmv1.ListLocks, a *dlmv1.ReadAnswer) string {
	var names []string
	for _, k := range l.locks {
		v := k.at(a.GetIndex())
		if len(v.holds)+len(v.waits) > 0 || v.delayed > 0 {
			names = append(names, k.name)
		}
	}
	var got []string
	for _, i := range a.GetLocks() {
		got = append(got, i.GetLock())
		if wrong := l.wrongLock(i.GetLock(), i, a.GetIndex()); wrong != "" {
			return wrong
		}
	}
	return wrongPage("locks", page(names, op.GetPrefix(), op.GetAfter(), pageOf(op.GetLimit())), got)
}

func page(names []string, prefix, after string, n int) []string {
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(s string) bool { return !strings.HasPrefix(s, prefix) || s <= after })
	return names[:min(n, len(names))]
}

func wrongPage(what string, want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	return fmt.Sprintf("the %s %v, the log says %v", what, got, want)
}

func (l *logChecker) wrongSessions(op *dlmv1.ListSessions, a *dlmv1.ReadAnswer) string {
	var want, got []uint64
	for _, s := range l.sessions {
		if s.born <= a.GetIndex() && (s.died == 0 || s.died > a.GetIndex()) && s.id > op.GetAfter() {
			want = append(want, s.id)
		}
	}
	for _, s := range a.GetSessions() {
		got = append(got, s.GetSession())
	}
	want = want[:min(len(want), pageOf(op.GetLimit()))]
	if !slices.Equal(want, got) {
		return fmt.Sprintf("the sessions %v, the log says %v", got, want)
	}
	return ""
}

// at is the file's length at a log position.
func (f *logFile) at(index uint64) (n uint64) {
	i, found := slices.BinarySearchFunc(f.lengths, index, func(v fileLength, index uint64) int { return cmp.Compare(v.index, index) })
	for found && i+1 < len(f.lengths) && f.lengths[i+1].index == index {
		i++ // several appends of one entry
	}
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return f.lengths[i].length
}

func (f *logFile) lives(index uint64) bool {
	return f.born <= index && (f.died == 0 || f.died > index)
}

func (l *logChecker) wrongFiles(op *dlmv1.ListFiles, a *dlmv1.ReadAnswer) string {
	var names, got []string
	for _, f := range l.files {
		if f.lives(a.GetIndex()) {
			names = append(names, f.name)
		}
	}
	for _, i := range a.GetFiles() {
		got = append(got, i.GetFile())
		if wrong := l.wrongFile(i, a.GetIndex()); wrong != "" {
			return wrong
		}
	}
	return wrongPage("files", page(names, op.GetPrefix(), op.GetAfter(), pageOf(op.GetLimit())), got)
}

func (l *logChecker) fileAt(name string, index uint64) *logFile {
	for _, f := range l.files {
		if f.name == name && f.lives(index) {
			return f
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (l *logChecker) wrongFile(i *dlmv1.FileInfo, index uint64) string {
	f := l.fileAt(i.GetFile(), index)
	if f == nil {
		return fmt.Sprintf("a file %q that is not there", i.GetFile())
	}
	data := f.data[:f.at(index)]
	if sum := crc32.Checksum(data, castagnoli); i.GetLength() != uint64(len(data)) || i.GetChecksum() != sum || i.GetLock() != f.lock {
		return fmt.Sprintf("file %q with %d bytes, checksum %x, lock %q; by the appends in the log it has %d, %x, %q",
			f.name, i.GetLength(), i.GetChecksum(), i.GetLock(), len(data), sum, f.lock)
	}
	return ""
}

// The sizes of a file's read, as the protocol says.
const (
	readDefault = 64 << 10
	readMost    = 256 << 10
)

func (l *logChecker) wrongBytes(op *dlmv1.ReadFile, a *dlmv1.ReadAnswer) string {
	f := l.fileAt(op.GetFile(), a.GetIndex())
	switch {
	case a.GetReason() == dlmv1.Reason_REASON_NOT_FOUND && f == nil, op.GetBytes() > readMost:
		return ""
	case f != nil && a.GetReason() == dlmv1.Reason_REASON_DAMAGED:
		return "" // whoever does the damage says whether that is right
	case f == nil || a.GetReason() != dlmv1.Reason_REASON_OK:
		return fmt.Sprintf("file %q as %v, which the log does not say", op.GetFile(), a.GetReason())
	}
	n := op.GetBytes()
	if n == 0 {
		n = readDefault
	}
	length := f.at(a.GetIndex())
	from := min(op.GetOffset(), length)
	if want := f.data[from:min(from+n, length)]; !bytes.Equal(want, a.GetData()) {
		return fmt.Sprintf("%d bytes of %q from %d on that are not the %d that were appended there", len(a.GetData()), f.name, from, len(want))
	}
	return ""
}
