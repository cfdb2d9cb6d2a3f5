package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupAndRestore goes the whole way: a backup under load, the loss of the server, a restore, and what became of files,
// sessions and tokens.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addr, stop := startServerOn(t, filepath.Join(dir, "data"))
	must := func(addr, script string) string {
		t.Helper()
		code, out := shell(t, addr, dir, "set -e -o pipefail\n"+script)
		if code != 0 {
			t.Fatalf("%s\nexit code %d:\n%s", script, code, out)
		}
		return out
	}
	must(addr, `
		eval "$(dlm acquire journal --ttl 1h --export)"
		head -c 700000 /dev/urandom > want
		dlm append journal big < want
		dlm append journal small --data kept
		( for i in $(seq 20); do dlm append journal small --data "after$i"; done ) &
		dlm backup whole.backup -o json > made
		wait
		dlm backup - > stream.backup
		dlm restore stream.backup --check | grep -q 'the backup is whole'
		! dlm backup whole.backup 2> err
		grep -q -- --force err
		dlm backup whole.backup --force
		dlm backup again.backup
		echo $DLM_TOKEN > token
		echo $DLM_SESSION > session`)
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	stop()
	must(addr, `
		dlm backup offline.backup --data data
		test "$(dlm restore offline.backup --check -o json | grep -c file_bytes)" = 1
		dlm restore whole.backup --data restored -o json > restored.json
		dlm restore - --data piped < stream.backup`)

	var v restoredView
	b, err := os.ReadFile(filepath.Join(dir, "restored.json"))
	if err != nil || json.Unmarshal(b, &v) != nil || v.NewClusterID == v.From.ClusterID || v.FirstToken <= v.From.LastToken {
		t.Fatalf("%v: %s", err, b)
	}
	addr, stop = startServerOn(t, filepath.Join(dir, "restored"))
	defer stop()
	must(addr, `
		dlm cat big | cmp - want
		dlm cat small | grep -q ^keptafter1after2
		! dlm check journal $(cat token)
		code=0; DLM_SESSION=$(cat session) DLM_LOCK=journal DLM_TOKEN=$(cat token) dlm renew 2> err || code=$?
		test $code = 70
		grep -q 'cluster that was here before a restore' err
		dlm sessions -o json | grep -q '^\[\]$'
		test $(dlm lock journal -- sh -c 'echo $DLM_TOKEN') -gt $(cat token)
		dlm append journal small --data more`)
}

func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addr, stop := startServerOn(t, filepath.Join(dir, "data"))
	defer stop()
	if code, out := shell(t, addr, dir, `set -e
		dlm append a file --data some-bytes
		dlm backup b
		head -c 200 b > cut
		sed 's/some-bytes/same-bytes/' b > changed
		mkdir used half; touch used/thing; touch half/restore-unfinished`); code != 0 {
		t.Fatal(out)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"restore cut --check", 74, "damaged at offset"},
		{"restore changed --check", 74, "checksum is"},
		{"restore changed --data new", 74, "checksum is"},
		{"restore data/LOCK --check", 1, "no backup"},
		{"restore b --data used", 1, "used is not empty: it has thing"},
		{"restore b --data data", 1, "in use"},
		{"restore b --data half", 1, "remove the directory, and restore again"},
		{"restore b", 2, "--check"},
		{"restore b --check --data new", 2, "--check"},
		{"restore b --data new --token-floor 9007199254740993", 2, "float64"},
		{"restore b --data new --token-floor -1", 2, "invalid"},
		{"restore missing --check", 1, "no such file"},
		{"restore", 2, "which backup"},
		{"backup", 2, "which file"},
		{"backup x --data used", 73, "no data directory"},
		{"backup x --data data", 1, "in use"},
		{"backup nowhere/x", 1, "no such file"},
	} {
		code, out := shell(t, addr, dir, "dlm "+c.args+" < /dev/null 2>&1")
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("dlm %s: exit code %d, want %d; %q does not say %q", c.args, code, c.code, out, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a refused restore has made a directory")
	}
}
