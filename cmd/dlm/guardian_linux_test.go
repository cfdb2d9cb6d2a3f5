package main

import (
	"io"
	"os"
	"testing"
)

// What is told arrives, a guardian that does not read holds nobody up, and one that is gone is noticed.
func TestGuardianIsTold(t *testing.T) {
	t.Parallel()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	gd := &guardian{to: to}
	want := record{term: 1, kill: 2}
	if err := gd.tell(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, recordBytes)
	if _, err := io.ReadFull(from, got); err != nil || string(got) != string(want.encode()) {
		t.Fatalf("got %v, %v", got, err)
	}
	for range 1 << 16 { // more than any pipe holds
		if err := gd.tell(want); err != nil {
			t.Fatal(err)
		}
	}
	_ = from.Close()
	// A process that another test has just forked, and that is not yet its program, has the pipe open too.
	waitFor(t, "nobody reads, and that is noticed", func() bool { return gd.tell(want) != nil })
}
