package engine

import (
	"fmt"
	"unicode/utf8"

	dlmv1 "dlm/api/dlm/v1"
)

// badText says which string of an operation is not UTF-8; "" = none. Such a request cannot be encoded, and would take the
// whole frame, with other sessions' requests, down with it.
func badText(op *dlmv1.Request) string {
	switch o := op.GetOp().(type) {
	case *dlmv1.Request_Open:
		return firstBad("label", o.Open.GetLabel())
	case *dlmv1.Request_Acquire:
		return firstBad("lock", o.Acquire.GetLock())
	case *dlmv1.Request_Release:
		return firstBad("lock", o.Release.GetLock())
	case *dlmv1.Request_Renew:
		return firstBad("lock", o.Renew.GetLock())
	case *dlmv1.Request_Revoke:
		return firstBad("lock", o.Revoke.GetLock(), "why", o.Revoke.GetWhy())
	case *dlmv1.Request_RevokeSession:
		return firstBad("why", o.RevokeSession.GetWhy())
	case *dlmv1.Request_Append:
		return firstBad("file", o.Append.GetFile(), "lock", o.Append.GetLock())
	case *dlmv1.Request_Delete:
		return firstBad("file", o.Delete.GetFile(), "lock", o.Delete.GetLock())
	}
	return ""
}

func badReadText(r *dlmv1.Read) string {
	switch o := r.GetOp().(type) {
	case *dlmv1.Read_GetLock:
		return firstBad("lock", o.GetLock.GetLock())
	case *dlmv1.Read_ListLocks:
		return firstBad("prefix", o.ListLocks.GetPrefix(), "after", o.ListLocks.GetAfter())
	case *dlmv1.Read_CheckToken:
		return firstBad("lock", o.CheckToken.GetLock())
	case *dlmv1.Read_ListFiles:
		return firstBad("prefix", o.ListFiles.GetPrefix(), "after", o.ListFiles.GetAfter())
	case *dlmv1.Read_ReadFile:
		return firstBad("file", o.ReadFile.GetFile())
	}
	return ""
}

// firstBad takes names and values in turn.
func firstBad(pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if !utf8.ValidString(pairs[i+1]) {
			return fmt.Sprintf("%s %.64q is not UTF-8", pairs[i], pairs[i+1])
		}
	}
	return ""
}
