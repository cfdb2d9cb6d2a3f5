package dlmv1

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestBadText sets every string that a request or a read can hold to something that is not UTF-8, one at a time.
func TestBadText(t *testing.T) {
	request := func(m proto.Message) string { return BadText(m.(*Request)) }
	read := func(m proto.Message) string { return BadReadText(m.(*Read)) }
	for _, row := range []struct {
		m   proto.Message
		bad func(proto.Message) string
	}{{&Request{}, request}, {&Read{}, read}} {
		if got := row.bad(row.m); got != "" {
			t.Errorf("of %T without operation: %s", row.m, got)
		}
		found := 0
		fields := row.m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			found += badTexts(t, row.m, fields.Get(i), row.bad)
		}
		if found < 5 {
			t.Errorf("%T has only %d strings: the test looks at nothing", row.m, found)
		}
	}
}

// badTexts tries the strings of one operation, and says how many there are.
func badTexts(t *testing.T, m proto.Message, op protoreflect.FieldDescriptor, bad func(proto.Message) string) (found int) {
	t.Helper()
	if op.Message() == nil {
		if op.Kind() == protoreflect.StringKind {
			t.Errorf("%s is a string outside of an operation", op.FullName())
		}
		return 0
	}
	for i := range op.Message().Fields().Len() {
		text := op.Message().Fields().Get(i)
		if sub := text.Message(); sub != nil {
			for j := range sub.Fields().Len() {
				if sub.Fields().Get(j).Kind() == protoreflect.StringKind {
					t.Errorf("%s is a string further down", sub.Fields().Get(j).FullName())
				}
			}
		}
		if text.Kind() != protoreflect.StringKind {
			continue
		}
		found++
		for value, want := range map[string]string{"größe": "", "": "", "\xff": "is not UTF-8"} {
			r := m.ProtoReflect().New()
			r.Mutable(op).Message().Set(text, protoreflect.ValueOfString(value))
			if got := bad(r.Interface()); (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("%s = %q: %q, want %q", text.FullName(), value, got, want)
			}
		}
	}
	return found
}
