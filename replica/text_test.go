package replica_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/replica"
)

// stringsOf visits every string of every operation of a message.
func stringsOf(m protoreflect.Message, visit func(op, text protoreflect.FieldDescriptor)) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if op := fields.Get(i); op.Message() != nil {
			for j := range op.Message().Fields().Len() {
				if text := op.Message().Fields().Get(j); text.Kind() == protoreflect.StringKind {
					visit(op, text)
				}
			}
		}
	}
}

// TestTextThatIsNone: a string that is not UTF-8 is refused in words, for good, whatever is wrong beside it, and comes into no entry (which
// member.encodable sees): protobuf's own codec, that of other languages, could not read it.
func TestTextThatIsNone(t *testing.T) {
	m := newMember(t, replica.Config{})
	s := m.open(1, 1)
	sequence := uint64(0)
	long := strings.Repeat("x", 1000) // above all limits, which may be raised: that alone is for the log to refuse
	stringsOf((&dlmv1.Request{}).ProtoReflect(), func(op, text protoreflect.FieldDescriptor) {
		for _, other := range []string{"fine", long} {
			for _, bad := range []string{"\xff", long + "\xff"} {
				sequence++
				r := &dlmv1.Request{Session: s, Instance: 1, Sequence: sequence, Watermark: sequence}
				o := r.ProtoReflect().Mutable(op).Message()
				for i := range o.Descriptor().Fields().Len() {
					if beside := o.Descriptor().Fields().Get(i); beside.Kind() == protoreflect.StringKind {
						o.Set(beside, protoreflect.ValueOfString(other))
					}
				}
				o.Set(text, protoreflect.ValueOfString(bad))
				if r.GetOpen() != nil {
					r.GetOpen().Key = make16(9)
				}
				a := m.call(1, r)
				if a.GetReason() != dlmv1.Reason_REASON_INVALID || a.GetIndex() != 0 || !strings.Contains(a.GetDetail(), "UTF-8") && other != long {
					t.Errorf("%s of %d bytes beside %d: %v", text.FullName(), len(bad), len(other), a)
				}
			}
		}
	})
	if sequence < 40 {
		t.Fatalf("%d requests: the test looks at nothing", sequence)
	}
	reads := 0
	stringsOf((&dlmv1.Read{}).ProtoReflect(), func(op, text protoreflect.FieldDescriptor) {
		for _, bad := range []string{"\xff", long + "\xff"} {
			reads++
			r := &dlmv1.Read{Id: uint64(reads)}
			r.ProtoReflect().Mutable(op).Message().Set(text, protoreflect.ValueOfString(bad))
			m.node.Receive(m.now, 1, &dlmv1.ClientFrame{Reads: []*dlmv1.Read{r}})
			m.settle()
			frames := m.got[1]
			got := frames[len(frames)-1].GetReads()
			if len(got) != 1 || got[0].GetId() != r.Id || got[0].GetReason() != dlmv1.Reason_REASON_INVALID || !strings.Contains(got[0].GetDetail(), "UTF-8") {
				t.Errorf("%s: %v", text.FullName(), got)
			}
		}
	})
	if reads < 10 {
		t.Fatalf("%d reads: the test looks at nothing", reads)
	}
}
