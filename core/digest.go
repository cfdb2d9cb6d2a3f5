package core

import (
	"encoding/binary"

	dlmv1 "dlm/api/dlm/v1"
)

// anyDigest is the digest of a result that fits every request: that of an acquire which was cancelled before it came.
const anyDigest = 0

// digest hashes what tells two operations apart. It guards against a client that uses one sequence for two requests by
// mistake, not against one that looks for collisions: that client can only harm itself.
//
// Digests lie in snapshots: the function is frozen.
type digest uint64

func newDigest(kind uint64) digest { return digest(0x9E3779B97F4A7C15).word(kind) }

func (d digest) word(x uint64) digest {
	h := (uint64(d) ^ x) * 0xFF51AFD7ED558CCD
	return digest(h ^ h>>32)
}

func (d digest) flag(x bool) digest {
	if x {
		return d.word(1)
	}
	return d.word(0)
}

func (d digest) bytes(b []byte) digest {
	d = d.word(uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		d = d.word(binary.LittleEndian.Uint64(b))
	}
	var tail uint64
	for i, x := range b {
		tail |= uint64(x) << (8 * i)
	}
	return d.word(tail)
}

func (d digest) text(s string) digest {
	d = d.word(uint64(len(s)))
	for ; len(s) >= 8; s = s[8:] {
		d = d.word(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
	}
	var tail uint64
	for i := range len(s) {
		tail |= uint64(s[i]) << (8 * i)
	}
	return d.word(tail)
}

// sum is the digest's value, never anyDigest.
func (d digest) sum() uint64 { return max(uint64(d), 1) }

func digestOpen(op *dlmv1.Open) uint64 {
	return newDigest(16).word(op.GetTtlNanos()).text(op.GetLabel()).sum()
}

// digestOp is the digest of a sequenced request's operation. The kinds are the field numbers in the .proto file.
func digestOp(r *dlmv1.Request) uint64 {
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_KeepAlive:
		return newDigest(18).sum()
	case *dlmv1.Request_Close:
		return newDigest(19).sum()
	case *dlmv1.Request_Acquire:
		a := op.Acquire
		return newDigest(20).text(a.GetLock()).word(uint64(a.GetMode())).
			flag(a != nil && a.WaitNanos != nil).word(a.GetWaitNanos()).
			word(a.GetHoldLimitNanos()).word(a.GetLockDelayNanos()).bytes(a.GetValue()).sum()
	case *dlmv1.Request_Cancel:
		return newDigest(21).word(op.Cancel.GetSequence()).sum()
	case *dlmv1.Request_Release:
		return newDigest(22).text(op.Release.GetLock()).word(op.Release.GetToken()).sum()
	case *dlmv1.Request_Renew:
		return newDigest(23).text(op.Renew.GetLock()).word(op.Renew.GetToken()).
			word(op.Renew.GetHoldLimitNanos()).sum()
	case *dlmv1.Request_Revoke:
		return newDigest(24).text(op.Revoke.GetLock()).word(op.Revoke.GetToken()).
			flag(op.Revoke.GetNow()).text(op.Revoke.GetWhy()).sum()
	case *dlmv1.Request_RevokeSession:
		return newDigest(25).word(op.RevokeSession.GetSession()).
			flag(op.RevokeSession.GetNow()).text(op.RevokeSession.GetWhy()).sum()
	case *dlmv1.Request_Append:
		return newDigest(26).text(op.Append.GetFile()).text(op.Append.GetLock()).
			word(op.Append.GetToken()).bytes(op.Append.GetData()).sum()
	case *dlmv1.Request_Delete:
		return newDigest(27).text(op.Delete.GetFile()).text(op.Delete.GetLock()).word(op.Delete.GetToken()).sum()
	case *dlmv1.Request_SetLimits:
		d := newDigest(28)
		if l := op.SetLimits.GetLimits(); l != nil {
			for _, f := range limitFields {
				d = d.word(*f.of(l))
			}
		}
		return d.sum()
	}
	return newDigest(0).sum()
}
