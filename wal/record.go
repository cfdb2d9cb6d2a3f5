package wal

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// A batch's payload is a sequence of records:
//
//	+---+------+------+--------+            hard state
//	| 1 | term | vote | commit |            each 8 bytes
//	+---+------+------+--------+
//	+---+------+------+-------+--------+------+
//	| 2 | type | term | index | length | data |   entry: type 1 byte, length 4
//	+---+------+------+-------+--------+------+
const (
	recordHard  = 1
	recordEntry = 2

	hardStateSize   = 24
	entryHeaderSize = 1 + 1 + 8 + 8 + 4
)

// hardState is raftpb.HardState without the pointers.
type hardState struct{ term, vote, commit uint64 }

func (h hardState) put(b []byte) {
	le.PutUint64(b, h.term)
	le.PutUint64(b[8:], h.vote)
	le.PutUint64(b[16:], h.commit)
}

func getHardState(b []byte) hardState {
	return hardState{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])}
}

func (h hardState) proto() *raftpb.HardState {
	return &raftpb.HardState{Term: new(h.term), Vote: new(h.vote), Commit: new(h.commit)}
}

func appendHardState(b []byte, h hardState) []byte {
	b = append(b, recordHard)
	b = append(b, make([]byte, hardStateSize)...)
	h.put(b[len(b)-hardStateSize:])
	return b
}

func appendEntry(b []byte, e *raftpb.Entry) []byte {
	b = append(b, recordEntry, byte(e.GetType()))
	b = le.AppendUint64(b, e.GetTerm())
	b = le.AppendUint64(b, e.GetIndex())
	b = le.AppendUint32(b, uint32(len(e.GetData())))
	return append(b, e.GetData()...)
}

var errRecord = errors.New("malformed record")

// eachRecord calls hard or entry for each record in turn. Entries do not
// share memory with the payload.
func eachRecord(payload []byte, hard func(hardState), entry func(*raftpb.Entry) error) error {
	for len(payload) > 0 {
		switch {
		case payload[0] == recordHard && len(payload) >= 1+hardStateSize:
			hard(getHardState(payload[1:]))
			payload = payload[1+hardStateSize:]
		case payload[0] == recordEntry && len(payload) >= entryHeaderSize:
			length := int64(le.Uint32(payload[18:]))
			if length > int64(len(payload)-entryHeaderSize) {
				return fmt.Errorf("%w: entry of %d bytes in %d", errRecord, length, len(payload))
			}
			e := &raftpb.Entry{
				Type: raftpb.EntryType(payload[1]).Enum(),
				Term: new(le.Uint64(payload[2:])), Index: new(le.Uint64(payload[10:])),
			}
			if length > 0 {
				e.Data = append([]byte(nil), payload[entryHeaderSize:entryHeaderSize+length]...)
			}
			if err := entry(e); err != nil {
				return err
			}
			payload = payload[entryHeaderSize+length:]
		default:
			return fmt.Errorf("%w: type %d with %d bytes", errRecord, payload[0], len(payload))
		}
	}
	return nil
}
