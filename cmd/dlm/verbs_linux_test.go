package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each row is one command line, on the same server one after the other.
func TestVerbs(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/no/such/interpreter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"lock a -- sh -c :", 0, ""},
		{"lock a -- sh -c exit${IFS}7", 7, ""},
		{"lock a -- sh -c kill${IFS}-9${IFS}$$", 137, ""},
		{"lock a -- env", 0, "DLM_LOCK=a\n"},
		{"lock a -- env", 0, "DLM_SERVER=" + addr},
		{"lock a -- no-such-command", 127, "not found"},
		{"lock a -- " + text, 126, "permission denied"},
		{"lock a --hold-limit 1d12h --lock-delay 5m -- true", 0, ""},
		{"append a file --data xyz", 0, "3 bytes at offset 0 of file"},
		{"append a file --data 123 -o json", 0, `"offset": 3`},
		{"append b file --data 123", 1, "bound to"},
		{"append a file --data", 2, "flag needs an argument"},
		{"append a", 2, "the name of a lock and of a file are needed"},
		{"append a empty --data=", 0, "0 bytes at offset 0 of empty"},
		{"files", 0, "empty  a     0       00000000"},
		{"files fi -o json", 0, `"file": "file"`},
		{"cat file", 0, "xyz123"},
		{"cat file --offset 4", 0, "23"},
		{"cat file --offset 7", 73, "has 6 bytes"},
		{"cat nothing", 73, `dlm: read "nothing" at 0: there is no file "nothing"`},
		{"cat", 2, "which file"},
		{"rm file", 0, ""},
		{"rm file", 73, "there is no file"},
		{"status", 0, "last token"},
		{"status -o json", 0, `"version": "test"`},
		{"locks", 0, "LOCK"},
		{"locks -o json", 0, "[]"},
		{"sessions", 0, "SESSION"},
		{"sessions -o json", 0, "[]"},
		{"check a 1", 70, "no: nobody holds a"},
		{"check a one", 2, `"one" is no token`},
		{"check a", 2, "and a token are needed"},
		{"check", 2, "DLM_LOCK"},
		{"renew", 2, "DLM_LOCK"},
		{"renew a", 2, "DLM_SESSION"},
		{"release a --session 9223372036854775807", 70, "there never was such a session"},
		{"revoke a", 73, "to be revoked\n'dlm locks', 'dlm sessions'"},
		{"revoke --session 9999", 73, "to be revoked"},
		{"revoke a --session 1", 2, "not both"},
		{"revoke", 2, "which lock"},
		{"limits", 0, "30s"},
		{"limits -o json", 0, `"limit": "default-ttl"`},
		{"limits set default-ttl 45s", 0, ""},
		{"limits", 0, "45s"},
		{"limits set default-ttl 45", 2, "must be a duration"},
		{"limits set default-ttl 0", 2, "must not be 0"},
		{"limits set default-ttl 1ms", 2, "default-ttl is 1ms, outside min-ttl 500ms to max-ttl 24h0m0s"},
		{"limits set append-bytes 3x", 2, "must be a number of bytes"},
		{"limits set nope 1", 2, "there are sessions, locks"},
		{"limits set nope", 2, "are needed"},
		{"limits nope", 2, "nope"},
		{"--version", 0, version},
		{"help lock", 0, "DLM_TOKEN"},
		{"completion bash", 0, "complete"},
		{"completion zsh", 0, "#compdef dlm"},
		{"completion fish", 0, "complete -c dlm"},
	} {
		start(t, addr, strings.Fields(c.args)...).end(c.code, c.says)
	}
}

// What is wrong with a command line is said before a server is asked: there is none here.
func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"lock", 2, "which lock"},
		{"lock a", 2, "use 'dlm acquire'"},
		{"lock a b", 2, "-- must stand before the command"},
		{"lock a --", 2, "no command"},
		{"lock a b -- c", 2, "exactly one"},
		{"lock a --try --wait 1s -- true", 2, "--try"},
		{"lock a --ttl -1s -- true", 2, "must not be negative"},
		{"lock a --ttl 10 -- true", 2, "such as 500ms, 30s, 5m"},
		{"lock a --ttl 0 -- true", 2, "must not be 0"},
		{"renew a --session 5 --hold-limit 0", 2, "must not be 0"},
		{"renew a --session=", 2, "must be a number above 0"},
		{"acquire a --session 0", 2, "must be a number above 0"},
		{"revoke a --token x", 2, "must be a number above 0"},
		{"renew ''", 2, "the name of the lock is empty"},
		{"release ''", 2, "the name of the lock is empty"},
		{"release a b", 2, "one lock, not 2"},
		{"lock a --tll 1s -- true", 2, "--tll"},
		{"lokc a -- true", 2, "lokc"},
		{"lokc", 2, "Try 'dlm --help'."},
		{"locks a b", 2, "accepts at most 1"},
		{"locks --tree", 2, "Try 'dlm locks --help'."},
		{"locks -o xml", 2, "table or json"},
		{"locks -w --interval 1ms", 2, "at least 100ms"},
		{"acquire", 2, "which lock"},
		{"acquire a b", 2, "one lock, not 2"},
		{"acquire a --export -o json", 2, "--export"},
		{"acquire a --session 1 --ttl 1s", 2, "--ttl"},
		{"status --connect-timeout -1s", 2, "must not be negative"},
		{"status --server foo", 2, "it must be HOST:PORT"},
		{"status --server foo:1,bar", 2, `"bar"`},
		{"status --server 127.0.0.1:1 --connect-timeout 2s", 72, "dlm: no answer from 127.0.0.1:1: connection refused\nIs the server running?"},
		{"lock a --server 127.0.0.1:1 --connect-timeout 2s -- true", 72, "127.0.0.1:1"},
		{"acquire a --server 127.0.0.1:1 --connect-timeout 2s", 72, "127.0.0.1:1"},
		{"revoke a --server 127.0.0.1:1 --connect-timeout 2s", 72, "127.0.0.1:1"},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "''", "")
		}
		p := start(t, "127.0.0.1:1", args...)
		p.end(c.code, c.says)
		if out := p.out.String(); strings.Contains(out, "engine:") || strings.Contains(out, "client:") || strings.Contains(out, "rpc error") {
			t.Errorf("dlm %s speaks of its insides:\n%s", c.args, out)
		}
	}
}

// A value that is no text comes out of JSON as it went in, and nothing of it reaches a terminal raw.
func TestValuesSurvive(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	for _, value := range []string{"plain <&>", "\xff\xfe", "\x1b[2J", "ü"} {
		start(t, addr, "acquire", "a", "--value", value, "-o", "json").end(0, `"token"`)
		var locks []lockView
		p := start(t, addr, "locks", "-o", "json")
		p.end(0, "")
		if err := json.Unmarshal([]byte(p.out.String()), &locks); err != nil {
			t.Fatal(err)
		}
		h := locks[0].Holders[0]
		if text, encoded := bytesView([]byte(value)); h.Value != text || h.ValueBase64 != encoded || text == "" && encoded == "" {
			t.Errorf("%q: got %q and %q", value, h.Value, h.ValueBase64)
		}
		p = start(t, addr, "locks")
		p.end(0, "held")
		if strings.Contains(p.out.String(), "\x1b") || strings.Contains(p.out.String(), "\xff") {
			t.Errorf("%q goes to the terminal raw: %q", value, p.out.String())
		}
		start(t, addr, "revoke", "a", "--now").end(0, "revoked a")
	}
}

// Every limit has a word about it, and every word a limit.
func TestLimitsAreDescribed(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, l := range allLimits() {
		names[l.name] = true
		if aboutLimits[l.name] == "" {
			t.Errorf("nothing says what the limit %s bounds", l.name)
		}
	}
	for name := range aboutLimits {
		if !names[name] {
			t.Errorf("%s is described and no limit", name)
		}
	}
}

// Completion offers what the server has, and is silent without one.
func TestCompletion(t *testing.T) {
	t.Parallel()
	addr, _ := startServer(t)
	if code, out := shell(t, addr, t.TempDir(), "dlm acquire db/main --ttl 1h && dlm append other logs/today --data x"); code != 0 {
		t.Fatal(out)
	}
	const script = `
		set -e
		dlm __complete locks d; dlm __complete lock d; dlm __complete append other l
		dlm __complete renew db/main --session ''; dlm __complete limits set default; dlm __complete status -o ''
		dlm __complete bench hand; dlm __complete lock --ttl '' | grep -qx :4
		dlm --server 127.0.0.1:1 __complete locks ''
		dlm completion bash | bash -n`
	// Somebody waits at the keyboard: what a slow server has to offer is left out.
	waitFor(t, "everything is offered", func() bool {
		code, out := shell(t, addr, t.TempDir(), script)
		if code != 0 {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
		for _, want := range []string{"db/main\n", "logs/today\n", "\t", "default-ttl\n", "json\n", "handoff\t"} {
			if !strings.Contains(out, want) {
				t.Logf("%q is not offered:\n%s", want, out)
				return false
			}
		}
		return true
	})
}
