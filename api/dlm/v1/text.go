package dlmv1

import (
	"fmt"
	"unicode/utf8"
)

// What is not UTF-8 is no string to protobuf. Its own codec refuses the whole message, with the requests of other sessions in it; the
// generated codec does not look. So clients refuse such a request before they send it, and servers before it comes into the log.

// BadText says which string of a request is not UTF-8; "" = none.
func BadText(r *Request) string {
	switch o := r.GetOp().(type) {
	case *Request_Open:
		return FirstBad("label", o.Open.GetLabel())
	case *Request_Acquire:
		return FirstBad("lock", o.Acquire.GetLock())
	case *Request_Release:
		return FirstBad("lock", o.Release.GetLock())
	case *Request_Renew:
		return FirstBad("lock", o.Renew.GetLock())
	case *Request_Revoke:
		return FirstBad("lock", o.Revoke.GetLock(), "why", o.Revoke.GetWhy())
	case *Request_RevokeSession:
		return FirstBad("why", o.RevokeSession.GetWhy())
	case *Request_Append:
		return FirstBad("file", o.Append.GetFile(), "lock", o.Append.GetLock())
	case *Request_Delete:
		return FirstBad("file", o.Delete.GetFile(), "lock", o.Delete.GetLock())
	}
	return ""
}

// BadReadText is BadText for a read.
func BadReadText(r *Read) string {
	switch o := r.GetOp().(type) {
	case *Read_GetLock:
		return FirstBad("lock", o.GetLock.GetLock())
	case *Read_ListLocks:
		return FirstBad("prefix", o.ListLocks.GetPrefix(), "after", o.ListLocks.GetAfter())
	case *Read_CheckToken:
		return FirstBad("lock", o.CheckToken.GetLock())
	case *Read_ListFiles:
		return FirstBad("prefix", o.ListFiles.GetPrefix(), "after", o.ListFiles.GetAfter())
	case *Read_ReadFile:
		return FirstBad("file", o.ReadFile.GetFile())
	}
	return ""
}

// FirstBad takes names and values in turn, and says which value is not UTF-8; "" = none.
func FirstBad(pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if !utf8.ValidString(pairs[i+1]) {
			return fmt.Sprintf("%s %.64q is not UTF-8", pairs[i], pairs[i+1])
		}
	}
	return ""
}
