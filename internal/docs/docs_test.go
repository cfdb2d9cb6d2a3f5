// Package docs is a test only: what the documents say is so. Shell blocks are run, Go blocks are in the files that they name,
// tables name what there is, links lead somewhere.
package docs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// documents are those whose blocks are run here. docs/cli.md has a test beside its commands.
var documents = []string{"README.md", "docs/guarantees.md", "docs/fencing.md", "docs/client.md", "docs/operations.md"}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var block = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks are a document's blocks in a language, in order.
func blocks(t *testing.T, name, language string) (all []string) {
	for _, m := range block.FindAllStringSubmatch(read(t, name), -1) {
		if m[1] == language {
			all = append(all, m[2])
		}
	}
	return all
}

// TestGoBlocks: each begins with the name of a file, and stands in it word for word.
func TestGoBlocks(t *testing.T) {
	found := 0
	for _, name := range documents {
		for _, b := range blocks(t, name, "go") {
			first, code, _ := strings.Cut(b, "\n")
			file, ok := strings.CutPrefix(first, "// ")
			if !ok || !strings.HasSuffix(file, ".go") {
				t.Errorf("%s: a block does not begin with the file that it is from:\n%s", name, b)
				continue
			}
			found++
			if !strings.Contains(read(t, file), code) {
				t.Errorf("%s: this is not in %s:\n%s", name, file, code)
			}
		}
	}
	if found < 5 {
		t.Errorf("%d blocks found", found)
	}
}

// binaries builds what the documents run, into the bin of a directory that is laid out like the project's.
func binaries(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+"/", "./cmd/server", "./cmd/dlm")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// freePort is one that nobody listens on right now. It is not one of those that the kernel gives to whoever asks for any:
// between now and its use, which may be a build later, another process would get it.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15_000+rand.IntN(15_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port from 15000 to 29999 can be listened on")
	return ""
}

// process is a server process of its own, as an operator starts it.
type process struct {
	addr string
	cmd  *exec.Cmd
	log  *strings.Builder
}

func startProcess(t *testing.T, bin, data, addr string) *process {
	t.Helper()
	p := &process{addr: addr, log: &strings.Builder{}}
	p.cmd = exec.Command(filepath.Join(bin, "server"), "--listen", addr, "--data", data)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			return p
		}
		if time.Now().After(deadline) {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			t.Fatalf("the server does not serve: %v\n%s", err, p.log)
		}
	}
}

// shell runs a script that must succeed, each part of each pipe of it.
func shell(t *testing.T, dir, addr, script string) string {
	t.Helper()
	if strings.Contains(script, "grep -q") {
		t.Errorf("grep -q leaves as soon as it has found something: whoever writes to it then ends with SIGPIPE, or not\n%s", script)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	// From a file: as an argument it would stand in the list of processes, where pkill -f looks.
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("set -e -o pipefail\n"+script), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "bash", file)
	cmd.Dir, cmd.WaitDelay = dir, 3*time.Second
	cmd.Env = append(os.Environ(), "DLM_SERVER="+addr, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s\n%v:\n%s", script, err, out)
	}
	return string(out)
}

// TestShellBlocks runs each document's blocks, one after the other, against a server of its own.
func TestShellBlocks(t *testing.T) {
	dir := binaries(t)
	for _, name := range documents {
		scripts := blocks(t, name, "sh")
		if len(scripts) == 0 || name == "README.md" { // which has a test of its own
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			p := startProcess(t, filepath.Join(dir, "bin"), data, freePort(t))
			for _, script := range scripts {
				t.Logf("%s", shell(t, dir, p.addr, "DATA='"+data+"'\n"+script))
			}
		})
	}
}

// TestLinks: what a document links to within the project is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for _, name := range append([]string{"ARCHITECTURE.md", "docs/cli.md"}, documents...) {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}
