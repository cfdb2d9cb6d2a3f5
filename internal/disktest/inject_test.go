package disktest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm/internal/rig"
)

var flagAll = flag.Bool("all", false, "inject every fault of the list, not a few")

// fault fails one system call of each thread of the server.
type fault struct {
	call, errno string
	when        int  // which call of a thread, from 1
	always      bool // in the short list
}

func (f fault) String() string { return fmt.Sprintf("%s-%s-%d", f.call, f.errno, f.when) }

func faults() (list []fault) {
	short := map[int]bool{2: true, 9: true}
	for _, when := range []int{1, 2, 3, 4, 6, 9, 14} {
		list = append(list, fault{"fdatasync", "EIO", when, short[when]})
	}
	for _, when := range []int{1, 2, 3} {
		list = append(list, fault{"fsync", "EIO", when, false})
	}
	for _, when := range []int{1, 2, 5, 20, 60, 70, 80, 100} {
		list = append(list, fault{"pwrite64", "EIO", when, when == 70}, fault{"pwrite64", "ENOSPC", when, when == 20})
	}
	return list
}

// script runs the server with the fault. The tracer is its grandchild, so that the server can be signalled as usual.
func (f fault) script(t *testing.T, strace, record string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server-under-fault")
	text := fmt.Sprintf("#!/bin/sh\nexec %s -D -f -qq -o %s -e trace=%s -e inject=%s:error=%s:when=%d %s \"$@\"\n",
		strace, record, f.call, f.call, f.errno, f.when, serverPath)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// A system call fails. The server says what failed, and stops with an error: or goes on, if a full disk is all that it is and
// nothing was written in part where it counts. In any case the next start has everything that was acknowledged.
func TestInjectedFaults(t *testing.T) {
	strace := need(t, "strace")
	if f := (fault{"fdatasync", "EIO", 1, true}); !injects(t, strace, f) {
		t.Skip("SKIPPED: strace cannot trace processes here")
	}
	struck, stopped := 0, 0
	for _, f := range faults() {
		if !f.always && !*flagAll {
			continue
		}
		t.Run(f.String(), func(t *testing.T) {
			dir, ledger := filepath.Join(t.TempDir(), "data"), rig.NewLedger()
			record := filepath.Join(t.TempDir(), "strace")
			s, err := rig.StartServer(f.script(t, strace, record), dir, "--snapshot-bytes", "16KiB")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Kill()
			served := load(t, s, ledger)
			ended := s.Ended()
			if !ended {
				if err := s.Stop(); err != nil && !strings.Contains(err.Error(), errText(f.errno)) {
					t.Errorf("a graceful stop: %v", err)
				}
			}
			if !struckBy(record) {
				t.Logf("not reached")
			} else {
				struck++
				if ended {
					stopped++
					says(t, s, errText(f.errno))
					if served {
						says(t, s, "nothing that was acknowledged is lost")
					}
					if err := s.Stop(); err == nil {
						t.Error("it ended with exit code 0")
					}
				} else if f.errno == "EIO" {
					t.Errorf("a %s failed, and the server went on:\n%s", f.call, s.Log())
				}
			}
			tally := check(t, dir, ledger)
			t.Logf("served %v, stopped by the fault %v; %d appends acknowledged, %d not, of these %d kept", served, ended, tally.Acked, tally.Unacked, tally.Kept)
		})
	}
	t.Logf("%d faults struck, %d stopped the server", struck, stopped)
	if struck == 0 || stopped == 0 {
		t.Errorf("%d faults struck, %d stopped the server: nothing is shown", struck, stopped)
	}
}

func errText(errno string) string {
	return map[string]string{"EIO": "input/output error", "ENOSPC": "no space left on device"}[errno]
}

// load works on the server until it ends, or long enough. served: it came as far as that.
func load(t *testing.T, s *rig.Server, ledger *rig.Ledger) (served bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	serving, err := s.Ready(ctx)
	if err != nil {
		return false // it ended before it served
	}
	go func() {
		for !s.Ended() && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	w := newWriter(t, ledger, serving.Address)
	defer w.c.Close()
	if err := w.work(ctx, 120, 1500); err != nil && ctx.Err() == nil {
		t.Errorf("a client: %v", err)
	}
	return true
}

func struckBy(record string) bool {
	b, err := os.ReadFile(record)
	return err == nil && strings.Contains(string(b), "(INJECTED)")
}

// injects tries whether faults can be injected at all.
func injects(t *testing.T, strace string, f fault) bool {
	t.Helper()
	record := filepath.Join(t.TempDir(), "strace")
	s, err := rig.StartServer(f.script(t, strace, record), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		return false
	}
	defer s.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, _ = s.Ready(ctx)
	return struckBy(record)
}
