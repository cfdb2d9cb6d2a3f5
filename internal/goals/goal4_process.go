package goals

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// The holder of goal 4 is a process of its own, so that it can be stopped in the middle of whatever it does: the program
// starts itself, with its task in a variable.
const childVariable = "DLM_GOAL_CHILD"

type childTask struct {
	Addr, Lock, File string
	TTL              time.Duration
}

// childReport is what the holder says: at first that it holds, then what it found when it went on.
type childReport struct {
	Token uint64
	// Why the library says that the lock is lost, asked by Held before anything else was done.
	Why     string
	Expired bool
	// Calls are the errors of append, renew and release through the library.
	Calls []string
	Err   string
}

// childMain is the holder's process.
func childMain() int {
	var t childTask
	err := json.Unmarshal([]byte(os.Getenv(childVariable)), &t)
	if err == nil {
		err = t.hold(context.Background())
	}
	if err != nil {
		say(childReport{Err: err.Error()})
		return exitFailed
	}
	return 0
}

func say(r childReport) {
	line, _ := json.Marshal(r)
	fmt.Printf("%s\n", line)
}

func (t childTask) hold(ctx context.Context) error {
	c, err := dial(t.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.OpenSession(ctx, client.WithTTL(t.TTL), client.WithLabel("holder that is stopped"))
	if err != nil {
		return err
	}
	lk, err := s.Lock(ctx, t.Lock)
	if err != nil {
		return err
	}
	if _, err := lk.Append(ctx, t.File, []byte("before\n")); err != nil {
		return err
	}
	say(childReport{Token: lk.Token()})
	// The parent stops this process somewhere in here, and nothing in here notices.
	for lk.Held() {
		time.Sleep(time.Millisecond)
	}
	r := childReport{Token: lk.Token(), Why: fmt.Sprint(lk.Err()), Expired: errors.Is(lk.Err(), client.ErrExpired)}
	_, err = lk.Append(ctx, t.File, []byte("former\n"))
	for _, err := range []error{err, lk.Renew(ctx, 0), lk.Unlock(ctx)} {
		if !errors.Is(err, client.ErrLost) {
			return fmt.Errorf("a call of a former holder must fail with ErrLost, got %v", err)
		}
		r.Calls = append(r.Calls, err.Error())
	}
	say(r)
	return nil
}

// holderLives is far more than the holder's process needs.
const holderLives = 30 * time.Second

// holder is that process, seen from the parent.
type holder struct {
	cmd *exec.Cmd
	out *json.Decoder
}

// startHolder: the process ends with ctx at the latest, and whoever listens to it hears that.
func startHolder(ctx context.Context, t childTask) (*holder, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	task, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	h := &holder{cmd: exec.CommandContext(ctx, self)}
	h.cmd.Env = append(os.Environ(), childVariable+"="+string(task))
	h.cmd.Stderr = os.Stderr
	h.cmd.SysProcAttr = rig.DieWithParent()
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.out = json.NewDecoder(bufio.NewReader(out))
	return h, h.cmd.Start()
}

// hear returns what the holder says next.
func (h *holder) hear() (childReport, error) {
	var r childReport
	err := h.out.Decode(&r)
	switch {
	case errors.Is(err, io.EOF):
		return r, errors.New("the holder's process ended without a word")
	case err == nil && r.Err != "":
		return r, errors.New("the holder's process: " + r.Err)
	}
	return r, err
}

func (h *holder) close() {
	_ = h.cmd.Process.Kill() // wakes a stopped one too
	_ = h.cmd.Wait()
}

func (g fencingGoal) process(ctx context.Context, s *rig.Scenario) error {
	return whileAwake(s, func(*stopwatch) error { return g.processOnce(ctx, s) })
}

func (g fencingGoal) processOnce(ctx context.Context, s *rig.Scenario) error {
	name := g.name("process")
	file := name + "-file"
	c, err := dial(g.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, holderLives)
	defer cancel()
	h, err := startHolder(ctx, childTask{Addr: g.addr, Lock: name, File: file, TTL: fencedTTL})
	if err != nil {
		return err
	}
	defer h.close()
	held, err := h.hear()
	if err != nil {
		return ifLate(fencedTTL/4, err)
	}
	session, err := c.OpenSession(ctx, client.WithTTL(nextTTL))
	if err != nil {
		return err
	}
	if g.calm {
		return nil
	}
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	began := time.Now()
	lk, err := session.Lock(ctx, name)
	if err != nil {
		return err
	}
	s.Inject(1, "the holder's process (token %d, TTL %v) is stopped by SIGSTOP; %v later token %d has the lock; then SIGCONT",
		held.Token, fencedTTL, roundMS(time.Since(began)), lk.Token())
	if lk.Token() <= held.Token {
		return fmt.Errorf("token %d follows token %d: tokens must grow", lk.Token(), held.Token)
	}
	if _, err := lk.Append(ctx, file, []byte("next\n")); err != nil {
		return err
	}
	if err := h.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	found, err := h.hear()
	if err != nil {
		return err
	}
	if !found.Expired {
		return fmt.Errorf("the holder's library says %q, it should say that the session expired", found.Why)
	}
	s.See("awake again, the first thing that the holder's library says is: %s", found.Why)
	s.See("append, renew and release through the library fail for that, such as: %s", found.Calls[0])
	if err := g.refused(ctx, s, name, file, held.Token, lk.Token()); err != nil {
		return err
	}
	return g.onlyNext(ctx, s, c, lk, file, "before\nnext\n")
}
