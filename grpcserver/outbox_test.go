package grpcserver

import (
	"errors"
	"testing"

	dlmv1 "dlm/api/dlm/v1"
)

func deliver(o *outbox, f *dlmv1.ServerFrame) bool { return o.deliver(f, int64(f.SizeVT())) }

func answers(sequences ...uint64) *dlmv1.ServerFrame {
	f := &dlmv1.ServerFrame{}
	for _, s := range sequences {
		f.Answers = append(f.Answers, &dlmv1.Answer{Sequence: s})
	}
	return f
}

func TestOutboxPutsFramesTogether(t *testing.T) {
	o := newOutbox(&outboxes{perStream: 1 << 20, total: 1 << 30})
	deliver(o, &dlmv1.ServerFrame{Hello: &dlmv1.Hello{MemberId: 1}})
	deliver(o, answers(1))
	deliver(o, answers(2, 3))
	deliver(o, &dlmv1.ServerFrame{Notices: []*dlmv1.Notice{{Lock: "a"}}})
	if f := o.next(false); f.GetHello() == nil || len(f.GetAnswers()) > 0 {
		t.Fatalf("the hello must travel alone, got %v", f)
	}
	f := o.next(false)
	if len(f.GetAnswers()) != 3 || len(f.GetNotices()) != 1 || f.GetAnswers()[2].GetSequence() != 3 {
		t.Fatalf("got %v, want all the rest in order", f)
	}
	if o.next(false) != nil || o.bytes != 0 || o.share.bytes.Load() != 0 {
		t.Fatalf("something is left: %d bytes, %d shared", o.bytes, o.share.bytes.Load())
	}
}

func TestOutboxKeepsFramesSmall(t *testing.T) {
	o := newOutbox(&outboxes{perStream: 8 << 20, total: 1 << 30})
	for range 5 {
		deliver(o, &dlmv1.ServerFrame{Reads: []*dlmv1.ReadAnswer{{Data: make([]byte, 400<<10)}}})
	}
	var got []int
	for f := o.next(false); f != nil; f = o.next(false) {
		got = append(got, len(f.GetReads()))
	}
	if len(got) != 3 || got[0] != 2 || got[2] != 1 {
		t.Errorf("frames of %v reads, want 2 2 1", got)
	}
}

func TestOutboxEndsAStreamThatDoesNotRead(t *testing.T) {
	share := &outboxes{perStream: 64 << 10, total: 100 << 10}
	big := func() *dlmv1.ServerFrame {
		return &dlmv1.ServerFrame{Reads: []*dlmv1.ReadAnswer{{Data: make([]byte, 60<<10)}}}
	}
	share.streams.Store(2)
	one, two := newOutbox(share), newOutbox(share)
	if !deliver(one, big()) || deliver(one, big()) {
		t.Fatal("the first frame is always taken, the second is over the limit of the stream")
	}
	select {
	case <-one.done:
	default:
		t.Fatal("the stream goes on")
	}
	if !errors.Is(one.err(), errNotReading) || one.next(false) != nil || share.bytes.Load() != 0 {
		t.Fatalf("err %v, %d bytes shared", one.err(), share.bytes.Load())
	}
	// Memory is short: the share of a stream is now less than its own limit.
	share.bytes.Add(100 << 10)
	small := &dlmv1.ServerFrame{Reads: []*dlmv1.ReadAnswer{{Data: make([]byte, 45<<10)}}}
	if !deliver(two, small) || deliver(two, answers(1, 2)) == false {
		t.Fatal("less than an equal share must be let in")
	}
	if deliver(two, &dlmv1.ServerFrame{Reads: []*dlmv1.ReadAnswer{{Data: make([]byte, 10<<10)}}}) {
		t.Fatal("more than an equal share was let in")
	}
}

func TestOutboxEnds(t *testing.T) {
	share := &outboxes{perStream: 1 << 20, total: 1 << 30}
	ended := func(o *outbox) bool {
		select {
		case <-o.done:
			return true
		default:
			return false
		}
	}
	t.Run("finish sends what is there first", func(t *testing.T) {
		o := newOutbox(share)
		deliver(o, answers(1))
		o.finish(errStopping)
		if ended(o) || deliver(o, answers(2)) {
			t.Fatal("ended too early, or took more")
		}
		if f := o.next(false); len(f.GetAnswers()) != 1 || o.next(false) != nil || !ended(o) || !errors.Is(o.err(), errStopping) {
			t.Fatalf("ended %v with %v", ended(o), o.err())
		}
	})
	t.Run("a half-closed stream ends when nothing is owed", func(t *testing.T) {
		o := newOutbox(share)
		o.took(2)
		o.halfClose()
		deliver(o, answers(1))
		o.next(false)
		o.answered(1, 0)
		if ended(o) {
			t.Fatal("ended with one answer to come")
		}
		deliver(o, answers(2))
		o.next(false)
		o.answered(1, 0)
		if !ended(o) || o.err() != nil {
			t.Fatalf("ended %v with %v", ended(o), o.err())
		}
	})
	t.Run("abort is at once and once", func(t *testing.T) {
		o := newOutbox(share)
		deliver(o, answers(1))
		o.abort(errFailed)
		o.abort(errStopping)
		o.finish(errStopping)
		if !ended(o) || !errors.Is(o.err(), errFailed) || o.next(false) != nil || share.bytes.Load() != 0 {
			t.Fatalf("ended %v with %v", ended(o), o.err())
		}
	})
}
