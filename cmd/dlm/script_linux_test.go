package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each script runs in a shell with dlm, in a directory and on a server of its own. It must exit with the code and print
// every one of the texts.
func TestScripts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		code         int
		says         []string
	}{
		{
			"acquire, use, release", `
			set -e
			eval "$(dlm acquire "it's mine" --ttl 1m --export)"
			dlm check
			dlm renew
			echo one | dlm append "it's mine" log
			dlm append "it's mine" log --data two -o json
			dlm cat log
			dlm rm log
			dlm release
			dlm locks; dlm sessions`,
			0,
			[]string{"yes: token ", "ends in", `"offset": 4`, "one\ntwo", "released it's mine", "closed session"},
		},
		{
			"the lock is kept between the commands", `
			eval "$(dlm acquire a --ttl 1m --export)"
			dlm acquire a --try`,
			71,
			[]string{"the lock is not free", "It is held by", "lease ends in"},
		},
		{
			"two locks in one session", `
			set -e
			eval "$(dlm acquire a --ttl 1m --export)"
			dlm acquire b --session "$DLM_SESSION" -o json
			dlm sessions
			dlm renew c || echo "renew $?"
			dlm release b
			dlm check
			dlm release`,
			0,
			[]string{`"lock": "b"`, "open   2 ", "does not hold \"c\"\nTo learn why", "renew 70", "released b", "yes: token", "and closed session"},
		},
		{
			"a released lock is lost", `
			eval "$(dlm acquire a --ttl 1m --export)"
			dlm release
			dlm check; echo "check $?"
			dlm renew; echo "renew $?"
			dlm append a f --data x; echo "append $?"
			dlm files
			dlm release`,
			70,
			[]string{"nobody holds a", "check 70", "the session was closed", "renew 70", "append 70"},
		},
		{
			"the TTL ends it", `
			eval "$(dlm acquire a --ttl 2s --export)"
			dlm lock a -- true
			dlm renew; echo "renew $?"
			dlm append a f --data x`,
			70,
			[]string{"the session expired", "renew 70"},
		},
		{
			"renewing keeps it", `
			set -e
			eval "$(dlm acquire a --ttl 20s --export)"
			for i in 1 2 3; do sleep 7; dlm renew -o json >/dev/null; done
			dlm check`,
			0,
			[]string{"yes: token"},
		},
		{
			"a hold limit", `
			eval "$(dlm acquire a --ttl 1m --hold-limit 30s --export)"
			dlm renew
			dlm renew --hold-limit 1s
			dlm lock a -- true
			dlm renew`,
			70,
			[]string{"(hold limit)", "its hold limit passed"},
		},
		{
			"revoked: the next holder waits for the release", `
			eval "$(dlm acquire a --ttl 1m --export)"
			dlm revoke a --why "call Ann"
			dlm renew; echo "renew $?"
			dlm append a f --data x; echo "append $?"
			dlm check; echo "check $?"
			(env -u DLM_TOKEN dlm acquire a --try) ; echo "try $?"
			dlm release; echo "release $?"
			dlm lock a --wait 20s -- echo next`,
			0,
			[]string{"at most", "revoked it: call Ann", "then 'dlm release'", "renew 70", "append 70", "check 70", "Revoked from", "try 71", "release 70", "the next holder can have it", "next\n"},
		},
		{
			"revoked now", `
			eval "$(dlm acquire a --ttl 1m --export)"
			dlm revoke a --token "$DLM_TOKEN" --now -o json
			dlm acquire a --try -o json
			dlm renew`,
			70,
			[]string{`"blocked_seconds": 0`, `"token"`, "revoked it"},
		},
		{
			"a session is revoked", `
			eval "$(dlm acquire a --ttl 1m --export)"
			dlm revoke --session "$DLM_SESSION" --why replaced
			dlm renew; echo "renew $?"
			dlm release; echo "release $?"
			dlm sessions`,
			0,
			[]string{"revoked session", "revoked the session: replaced", "renew 70"},
		},
		{
			"under dlm lock", `
			dlm lock a --hold-limit 1m -- sh -c '
				set -e
				echo one | dlm append a log
				dlm append a log --data two
				dlm append other log2 --data three
				dlm renew
				dlm renew --hold-limit 5m -o json
				dlm check
				dlm cat log; echo
				dlm rm log
				dlm release || echo "release $?"
				dlm acquire b --session "$DLM_SESSION" || echo "acquire $?"
				DLM_TOKEN=1 dlm append a log --data no || echo "append $?"'`,
			0,
			[]string{"4 bytes at offset 0 of log", "ends in  ", `"lease_seconds": `, "yes: token", "one\ntwo\n", "belongs to the dlm lock", "release 2", "acquire 2", "append 70"},
		},
		{
			"nested locks", `
			dlm lock a -- sh -c '
				eval "$(dlm acquire b --ttl 1m --export)"
				dlm append b log --data x && dlm release'
			dlm lock a -- dlm lock a --wait 3s -- true`,
			71,
			[]string{"released b", "held under the token in DLM_TOKEN"},
		},
		{
			"what cannot be told is given back", `
			dlm acquire a --ttl 1m >/dev/full; echo "full $?"
			dlm acquire a --try -o json`,
			0,
			[]string{"given back", "full 1", `"token"`},
		},
		{
			"shared", `
			set -e
			dlm acquire a --shared --ttl 1m
			dlm acquire a --shared --ttl 1m
			dlm locks
			dlm acquire a --try || exit 5`,
			5,
			[]string{"mode     shared", "and 1 more"},
		},
		{
			"the server's address is passed on", `
			server=$DLM_SERVER; unset DLM_SERVER
			eval "$(dlm acquire a --ttl 1m --export --server $server)"
			dlm check`,
			0,
			[]string{"yes: token"},
		},
		{
			"a bad environment", `
			DLM_LOCK=a DLM_SESSION=x dlm renew; echo "renew $?"
			DLM_LOCK=a DLM_HOLD=@gone dlm append a f --data x`,
			70,
			[]string{"DLM_SESSION is \"x\", it must be a number", "renew 2", "that this command runs under is gone"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := startServer(t)
			code, out := shell(t, addr, t.TempDir(), c.script)
			for _, want := range c.says {
				if !strings.Contains(strings.ToLower(out), strings.ToLower(want)) {
					t.Errorf("does not say %q", want)
				}
			}
			if code != c.code || t.Failed() {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, out)
			}
		})
	}
}

// While one process waits for a lock in a session another takes the session over: the wait ends, and says why.
func TestTheLaterCommandHasTheSession(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	code, out := shell(t, addr, t.TempDir(), `
		dlm acquire taken --ttl 1m >/dev/null
		eval "$(dlm acquire a --ttl 1m --export)"
		dlm acquire taken --session "$DLM_SESSION" & waiter=$!
		until dlm locks taken | grep -q waiting; do sleep 0.05; done
		dlm renew >/dev/null || exit 9
		wait $waiter`)
	if code != exitLost || !strings.Contains(out, "another process has taken over the session") || !strings.Contains(out, "one after the other") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// A wait in a session that lives on is cancelled when its command is ended: the lock does not come to nobody (G8).
func TestEndedWaitLeavesNothing(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	code, out := shell(t, addr, t.TempDir(), `
		dlm lock taken -- sleep 600 & holder=$!
		until dlm locks taken | grep -q held; do sleep 0.05; done
		eval "$(dlm acquire a --ttl 5m --export)"
		dlm acquire taken --session "$DLM_SESSION" & waiter=$!
		until dlm locks taken | grep -q waiting; do sleep 0.05; done
		kill $waiter; wait $waiter; echo "waiter $?"
		dlm locks taken | grep -q waiting && echo "it waits on"
		kill $holder; wait $holder
		dlm lock taken --try -- echo "free again"
		dlm check && dlm release`)
	if code != 0 || !strings.Contains(out, "waiter 143") || !strings.Contains(out, "free again") || strings.Contains(out, "waits on") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestCatFollows(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	start(t, addr, "append", "a", "f", "--data", "one ").end(0, "")
	p := start(t, addr, "cat", "-f", "f")
	waitFor(t, "the first piece", func() bool { return p.text() == "one " })
	start(t, addr, "append", "a", "f", "--data", "two ").end(0, "")
	waitFor(t, "the second piece", func() bool { return p.text() == "one two " })
	start(t, addr, "rm", "f").end(0, "")
	p.end(exitAbsent, "there is no file")
}

func TestLocksWatched(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	p := start(t, addr, "locks", "--watch", "--interval", "100ms", "-o", "json")
	waitFor(t, "an empty list", func() bool { return strings.HasPrefix(p.text(), "[]\n") })
	start(t, addr, "acquire", "a", "--ttl", "1m").end(0, "")
	waitFor(t, "the lock, in one line", func() bool {
		return strings.Contains(p.text(), "\n[{\"lock\":\"a\",\"holders\":[{\"session\":")
	})
	_ = p.Process.Signal(os.Interrupt)
	p.end(exitSignal+2, "")
}

// More than one append holds goes in several, and comes back as it went in.
func TestLargeAppend(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	dir := t.TempDir()
	data := strings.Repeat("0123456789abcdef", 50_000)
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"dlm append a f <in", "dlm lock a -- dlm append a f <in"} {
		if code, out := shell(t, addr, dir, how+" && dlm cat f | cmp - in && dlm rm f"); code != 0 || !strings.HasPrefix(out, "800000 bytes at offset 0") {
			t.Errorf("%s: exit code %d:\n%s", how, code, out)
		}
	}
}

// A wait shows on a terminal that it waits, for whom, how long and behind how many; nothing of it stays.
func TestWaitIsShown(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	start(t, addr, "acquire", "a", "--ttl", "2h", "--value", "the night shift").end(0, "")
	first := start(t, addr, "lock", "a", "--", "true")
	waitFor(t, "the first in the queue", func() bool {
		p := start(t, addr, "locks")
		p.end(0, "")
		return strings.Contains(p.text(), "waiting")
	})
	if _, err := os.Stat("/usr/bin/script"); err != nil {
		t.Skip("skipped: no 'script' program here to make a terminal")
	}
	began := time.Now()
	code, out := shell(t, addr, t.TempDir(), `script -qec 'dlm lock a --wait 8s -- true' typescript </dev/null; cat typescript`)
	for _, want := range []string{"dlm: waiting ", ` for "a", 1 before us: held `, "(lease 1h5", "by " + label(os.Getpid()), "the wait timeout passed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not shown after %v", want, time.Since(began))
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d: %q", code, out)
	}
	start(t, addr, "revoke", "a", "--now").end(0, "")
	first.end(0, "")
}

// On a terminal it shows that no server answers; nothing of that stays.
func TestSilenceIsShown(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/bin/script"); err != nil {
		t.Skip("skipped: no 'script' program here to make a terminal")
	}
	code, out := shell(t, "127.0.0.1:1", t.TempDir(), `script -qec 'dlm status --connect-timeout 4s' typescript </dev/null`)
	if !strings.Contains(out, "dlm: no answer from 127.0.0.1:1 for ") || !strings.Contains(out, "\r\x1b[Kdlm: no answer from 127.0.0.1:1: connection refused") {
		t.Errorf("exit code %d: %q", code, out)
	}
}
