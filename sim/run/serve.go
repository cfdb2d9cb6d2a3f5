package run

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"dlm/sim"
)

// serveEnv makes a program that calls ServeIfAsked a child of a Pool.
const serveEnv = "DLM_SIM_SERVE"

// ServeIfAsked turns this process into a Pool's child if its environment says so, and does not return then. Call it first
// thing in main or TestMain.
func ServeIfAsked() {
	if os.Getenv(serveEnv) == "" {
		return
	}
	// A signal to stop goes to the whole process group; the parent decides what it means, and closes our input.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	if err := Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Serve reads seeds, one a line, runs each and writes its Result as a line of JSON, until the input ends.
func Serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	enc := json.NewEncoder(out)
	for lines.Scan() {
		seed, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 64)
		if err != nil {
			return fmt.Errorf("want a seed a line: %w", err)
		}
		if err := enc.Encode(Run(sim.Expand(seed), nil)); err != nil {
			return err
		}
	}
	return lines.Err()
}
