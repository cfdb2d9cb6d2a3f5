package sim

import (
	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// digest is FNV-1a over our own canonical bytes: never over protobuf's, whose encoding is not promised to stay.
type digest uint64

func newDigest() digest { return 14695981039346656037 }

func (d *digest) num(values ...uint64) {
	h := uint64(*d)
	for _, v := range values {
		for range 8 {
			h = (h ^ v&0xff) * 1099511628211
			v >>= 8
		}
	}
	*d = digest(h)
}

func (d *digest) text(s string) {
	d.num(uint64(len(s)))
	h := uint64(*d)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	*d = digest(h)
}

func (d *digest) bytes(b []byte) { d.text(string(b)) }

// op adds a request's operation.
func (d *digest) op(r *dlmv1.Request) {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		d.num(16, op.Open.GetTtlNanos())
		d.bytes(op.Open.GetKey())
		d.text(op.Open.GetLabel())
	case *dlmv1.Request_Attach:
		d.num(17, op.Attach.GetReplaces())
		d.bytes(op.Attach.GetKey())
	case *dlmv1.Request_KeepAlive:
		d.num(18)
	case *dlmv1.Request_Close:
		d.num(19)
	case *dlmv1.Request_Acquire:
		a := op.Acquire
		d.num(20, uint64(a.GetMode()), b2u(a.WaitNanos != nil), a.GetWaitNanos(), a.GetHoldLimitNanos(), a.GetLockDelayNanos())
		d.text(a.GetLock())
		d.bytes(a.GetValue())
	case *dlmv1.Request_Cancel:
		d.num(21, op.Cancel.GetSequence())
	case *dlmv1.Request_Release:
		d.num(22, op.Release.GetToken())
		d.text(op.Release.GetLock())
	case *dlmv1.Request_Renew:
		d.num(23, op.Renew.GetToken(), op.Renew.GetHoldLimitNanos())
		d.text(op.Renew.GetLock())
	case *dlmv1.Request_Revoke:
		d.num(24, op.Revoke.GetToken(), b2u(op.Revoke.GetNow()))
		d.text(op.Revoke.GetLock())
		d.text(op.Revoke.GetWhy())
	case *dlmv1.Request_RevokeSession:
		d.num(25, op.RevokeSession.GetSession(), b2u(op.RevokeSession.GetNow()))
		d.text(op.RevokeSession.GetWhy())
	case *dlmv1.Request_Append:
		d.num(26, op.Append.GetToken())
		d.text(op.Append.GetFile())
		d.text(op.Append.GetLock())
		d.bytes(op.Append.GetData())
	case *dlmv1.Request_Delete:
		d.num(27, op.Delete.GetToken())
		d.text(op.Delete.GetFile())
		d.text(op.Delete.GetLock())
	default:
		d.num(99)
	}
}

func hashOp(r *dlmv1.Request) uint64 {
	d := newDigest()
	d.op(r)
	return uint64(d)
}

func (d *digest) request(r *dlmv1.Request) {
	d.num(r.GetSession(), r.GetInstance(), r.GetSequence(), r.GetWatermark(), uint64(len(r.GetAwaited())))
	d.num(r.GetAwaited()...)
	d.op(r)
}

func (d *digest) answer(a *dlmv1.Answer) {
	d.num(a.GetSession(), a.GetSequence(), a.GetIndex(), a.GetStamp(), a.GetSessionDeadline(), uint64(a.GetReason()), a.GetToken(),
		a.GetHoldDeadline(), a.GetOffset(), a.GetLength(), a.GetLimit(), a.GetInstance(), a.GetTtlNanos(), a.GetNextSequence(),
		uint64(a.GetCancelled()), uint64(len(a.GetHolds())), uint64(len(a.GetLosses())))
	d.bytes(a.GetKey())
	for _, h := range a.GetHolds() {
		d.num(uint64(h.GetMode()), h.GetToken(), h.GetHoldDeadline())
		d.text(h.GetLock())
	}
	for _, l := range a.GetLosses() {
		d.num(l.GetToken(), uint64(l.GetReason()))
		d.text(l.GetLock())
	}
}

func (d *digest) notice(n *dlmv1.Notice) {
	d.num(uint64(n.GetKind()), n.GetSession(), n.GetSequence(), n.GetStamp(), n.GetToken(), uint64(n.GetReason()))
	d.text(n.GetLock())
}

func (d *digest) read(a *dlmv1.ReadAnswer) {
	d.num(a.GetId(), a.GetIndex(), a.GetStamp(), uint64(a.GetReason()), b2u(a.GetCurrent()), uint64(len(a.GetLocks())), uint64(len(a.GetSessions())))
	for _, h := range a.GetLock().GetHolders() {
		d.num(h.GetToken())
	}
	d.bytes(a.GetData())
}

func hashClientFrame(f *dlmv1.ClientFrame) uint64 {
	d := newDigest()
	for _, r := range f.GetRequests() {
		d.request(r)
	}
	for _, r := range f.GetReads() {
		d.num(r.GetId())
	}
	return uint64(d)
}

func hashServerFrame(f *dlmv1.ServerFrame) uint64 {
	d := newDigest()
	d.num(b2u(f.GetHello() != nil))
	for _, a := range f.GetAnswers() {
		d.answer(a)
	}
	for _, n := range f.GetNotices() {
		d.notice(n)
	}
	for _, r := range f.GetReads() {
		d.read(r)
	}
	return uint64(d)
}

func hashEntry(stamp uint64, reqs []*dlmv1.Request, out core.Output) uint64 {
	d := newDigest()
	d.num(stamp, uint64(len(reqs)))
	for _, r := range reqs {
		d.request(r)
	}
	for _, a := range out.Answers {
		d.answer(a)
	}
	for _, n := range out.Notices {
		d.notice(n)
	}
	for _, f := range out.Files {
		d.num(uint64(f.Kind), f.ID, f.Offset)
		d.bytes(f.Data)
	}
	return uint64(d)
}
