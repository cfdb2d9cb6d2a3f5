package replica

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/reflect/protoreflect"

	dlmv1 "dlm/api/dlm/v1"
)

// entryVersion is the format and behaviour of the batches that this code writes and understands.
const entryVersion = 1

// encodeEntry is what is logged.
func encodeEntry(b *dlmv1.Batch) ([]byte, error) { return b.MarshalVT() }

// decodeEntry gives the batch of an entry, nil for the empty entry of a new term. Whatever this version does not know
// in it is an error: to skip it would make this member's state differ from the others'.
func decodeEntry(e *raftpb.Entry) (*dlmv1.Batch, error) {
	if e.GetType() != raftpb.EntryType_EntryNormal {
		return nil, fmt.Errorf("%w: position %d is a membership change, which needs a newer version", ErrUnknownEntry, e.GetIndex())
	}
	if len(e.GetData()) == 0 {
		return nil, nil
	}
	b := &dlmv1.Batch{}
	if err := b.UnmarshalVT(e.GetData()); err != nil {
		return nil, fmt.Errorf("%w: position %d: %w", ErrUnknownEntry, e.GetIndex(), err)
	}
	if b.GetVersion() != entryVersion {
		return nil, fmt.Errorf("%w: position %d has version %d, this server knows %d; start a newer server", ErrUnknownEntry, e.GetIndex(), b.GetVersion(), entryVersion)
	}
	if hasUnknown(b.ProtoReflect()) {
		return nil, fmt.Errorf("%w: position %d has fields that this server does not know; start a newer server", ErrUnknownEntry, e.GetIndex())
	}
	return b, nil
}

func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil {
			return true
		}
		if fd.IsList() {
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		} else {
			found = found || hasUnknown(v.Message())
		}
		return !found
	})
	return found
}
