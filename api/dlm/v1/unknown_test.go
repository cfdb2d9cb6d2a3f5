package dlmv1

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestUnderstood gives each message of a request a field that nobody knows.
func TestUnderstood(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var visit func(d protoreflect.MessageDescriptor)
	visit = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		m, ok := newMessage(t, d).(interface{ Understood() bool })
		if !ok {
			t.Fatalf("%s has no Understood", d.FullName())
		}
		if !m.Understood() {
			t.Errorf("an empty %s is not understood", d.Name())
		}
		b := protowire.AppendVarint(protowire.AppendTag(nil, 2000, protowire.VarintType), 1)
		if err := m.(generated).UnmarshalVT(b); err != nil || m.Understood() {
			t.Errorf("%s with field 2000 is understood: %v", d.Name(), err)
		}
		for i := range d.Fields().Len() {
			if sub := d.Fields().Get(i).Message(); sub != nil {
				visit(sub)
			}
		}
	}
	visit((&Request{}).ProtoReflect().Descriptor())
	if len(seen) < 15 {
		t.Errorf("saw only %d messages", len(seen))
	}
}
