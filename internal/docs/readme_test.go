package docs

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checkout copies the project's files as they are into a fresh directory.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("bash", "-c", `git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$0"`, dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// makeRun is `make run` in the checkout, on an address of its own. It returns when the server serves.
func makeRun(t *testing.T, dir, listen, admin string) {
	t.Helper()
	cmd := exec.Command("make", "run", "LISTEN="+listen, "ADMIN="+admin)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = log.Close()
	})
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("make run does not serve: %v\n%s", err, said)
		}
	}
}

// patient makes the tour certain, on a machine that is slower than a reader too: what the reader gives a second for has
// happened, and the holder holds for long enough that the one who waits for two seconds waits in vain.
var patient = strings.NewReplacer(
	"sleep 5 &\nsleep 1\n", "sleep 10 &\nuntil ./bin/dlm locks demo | grep held; do sleep 0.1; done\n",
)

// TestReadme does what the README says, from a fresh checkout on: a job under a lock, a crash survived, a stolen lock noticed, a
// fenced append refused.
func TestReadme(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	listen, admin := freePort(t), freePort(t)
	makeRun(t, dir, listen, admin)
	var said strings.Builder
	environment := ""
	for _, script := range blocks(t, "README.md", "sh") {
		script = patient.Replace(strings.ReplaceAll(script, "127.0.0.1:50051", listen))
		// One shell for the tour: what a block exports is there in the next. Exit codes that the README announces do not end it.
		out := shell(t, dir, listen, "set +e\n"+environment+script+"\nset -e; export -p | grep DLM_ >environment || true")
		said.WriteString("$ " + script + out)
		if strings.Contains(script, "pkill") {
			makeRun(t, dir, listen, admin)
		}
		environment = ". ./environment\n"
	}
	text := said.String()
	t.Log(text)
	rest := text
	for _, want := range []string{
		"token 3", "my turn", // the first job; the one that waited
		"journal", "exclusive", // held
		"lock     journal",                // after the crash
		"revoked", "call Ann", "call Ann", // the holder is told, and so is the late append
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Errorf("the tour does not say %q where it should:\n%s", want, text)
			return
		}
		rest = after
	}
	if strings.Contains(text, "\nnever") || strings.Contains(rest, "\nlate") {
		t.Errorf("somebody went where he should not:\n%s", text)
	}
}
