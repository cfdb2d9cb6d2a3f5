package grpcserver

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dlmv1 "dlm/api/dlm/v1"
)

func TestEveryReasonHasACode(t *testing.T) {
	for n, name := range dlmv1.Reason_name {
		code, ok := codeOf[dlmv1.Reason(n)]
		if !ok {
			t.Errorf("%s has no gRPC code: add it to codeOf", name)
		}
		if (code == codes.OK) != (n == 0) {
			t.Errorf("%s maps to %v", name, code)
		}
	}
	if got := Code(dlmv1.Reason(9999)); got != codes.Unknown {
		t.Errorf("a reason of the future maps to %v, want Unknown", got)
	}
}

func TestReasonErrorCarriesTheAnswer(t *testing.T) {
	a := &dlmv1.Answer{Session: 3, Reason: dlmv1.Reason_REASON_STALE_TOKEN, Detail: "gone", Token: 42}
	st := status.Convert(reasonError(a.GetReason(), a.GetDetail(), a))
	if st.Code() != codes.FailedPrecondition || st.Message() != "REASON_STALE_TOKEN: gone" {
		t.Errorf("got %v %q", st.Code(), st.Message())
	}
	if len(st.Details()) != 1 || st.Details()[0].(*dlmv1.Answer).GetToken() != 42 {
		t.Errorf("details: %v", st.Details())
	}
}
