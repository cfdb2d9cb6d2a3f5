package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/cmd/internal/human"
	"dlm/grpcserver/inspect"
)

// entryView is one entry of the log as printed.
type entryView struct {
	Segment  string   `json:"segment"`
	Offset   int64    `json:"offset"`
	Index    uint64   `json:"index"`
	Term     uint64   `json:"term"`
	Stamp    uint64   `json:"stamp_nanos"`
	Requests []string `json:"requests"`
	Error    string   `json:"error,omitempty"`
}

func printEntry(w io.Writer, out format, e inspect.Entry) error {
	v := entryView{Segment: filepath.Base(e.File), Offset: e.Offset, Index: e.Index, Term: e.Term, Stamp: e.Batch.GetStamp(), Requests: []string{}}
	if e.Err != nil {
		v.Error = e.Err.Error()
	}
	for _, r := range e.Batch.GetRequests() {
		v.Requests = append(v.Requests, describeRequest(r))
	}
	if out == "json" {
		return writeJSON(w, v, "")
	}
	what := strings.Join(v.Requests, "; ")
	switch {
	case v.Error != "":
		what = "CANNOT BE READ: " + v.Error
	case e.Batch == nil:
		what = "a new term"
	case what == "":
		what = "time"
	}
	_, err := fmt.Fprintf(w, "%s@%d  index %d  term %d  at %s  %s\n", v.Segment, v.Offset, v.Index, v.Term,
		human.Span(time.Duration(v.Stamp)), what)
	return err
}

// describeRequest is a request in a few words, without the bytes of its values.
func describeRequest(r *dlmv1.Request) string {
	who := fmt.Sprintf("session %d.%d #%d ", r.GetSession(), r.GetInstance(), r.GetSequence())
	switch op := r.GetOp().(type) {
	case *dlmv1.Request_Open:
		ttl := "the default TTL"
		if op.Open.GetTtlNanos() > 0 {
			ttl = "TTL " + human.Duration(time.Duration(op.Open.GetTtlNanos()))
		}
		return fmt.Sprintf("open %q, %s", op.Open.GetLabel(), ttl)
	case *dlmv1.Request_Attach:
		return fmt.Sprintf("attach session %d, replacing instance %d", r.GetSession(), op.Attach.GetReplaces())
	case *dlmv1.Request_KeepAlive:
		return who + "keep-alive"
	case *dlmv1.Request_Close:
		return who + "close"
	case *dlmv1.Request_Acquire:
		return who + fmt.Sprintf("acquire %q, %s", op.Acquire.GetLock(), modeName(op.Acquire.GetMode()))
	case *dlmv1.Request_Cancel:
		return who + fmt.Sprintf("cancel #%d", op.Cancel.GetSequence())
	case *dlmv1.Request_Release:
		return who + fmt.Sprintf("release %q, token %d", op.Release.GetLock(), op.Release.GetToken())
	case *dlmv1.Request_Renew:
		return who + fmt.Sprintf("renew %q, token %d", op.Renew.GetLock(), op.Renew.GetToken())
	case *dlmv1.Request_Revoke:
		return who + fmt.Sprintf("revoke %q, token %d: %q", op.Revoke.GetLock(), op.Revoke.GetToken(), op.Revoke.GetWhy())
	case *dlmv1.Request_RevokeSession:
		return who + fmt.Sprintf("revoke session %d: %q", op.RevokeSession.GetSession(), op.RevokeSession.GetWhy())
	case *dlmv1.Request_Append:
		return who + fmt.Sprintf("append %d bytes to %q under %q, token %d", len(op.Append.GetData()), op.Append.GetFile(), op.Append.GetLock(), op.Append.GetToken())
	case *dlmv1.Request_Delete:
		return who + fmt.Sprintf("delete %q under %q, token %d", op.Delete.GetFile(), op.Delete.GetLock(), op.Delete.GetToken())
	case *dlmv1.Request_SetLimits:
		return who + "set limits: " + strings.Join(strings.Fields(op.SetLimits.GetLimits().String()), " ")
	}
	return who + fmt.Sprintf("%T", r.GetOp())
}
