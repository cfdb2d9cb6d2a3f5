// Command dlm runs commands under locks of the lock manager, serves scripts, and looks at it. `dlm help` says more.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "unknown"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 1 && args[0] == guardianVerb {
		return guardianMain()
	}
	g := &globals{}
	root := newRoot(g)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return 0
	}
	code := codeOf(err)
	if !g.ran {
		code = exitUsage
	}
	if exit, ok := err.(*exitError); ok && exit.err == nil {
		return code
	}
	fmt.Fprintln(os.Stderr, g.report(err, code))
	if code == exitUsage {
		fmt.Fprintf(os.Stderr, "Try '%s --help'.\n", cmd.CommandPath())
	}
	return code
}

// The groups of verbs in the help.
const (
	groupLocks = "locks"
	groupFiles = "files"
	groupLook  = "look"
	groupRun   = "operate"
)

func newRoot(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "dlm",
		Short: "Run commands under distributed locks",
		Long: `dlm runs commands under locks of the lock manager, serves scripts, and looks at it.

Whoever gets a lock gets a token, a number that grows with every grant of any lock. A resource that refuses tokens below
the highest that it has seen is safe from holders that have lost the lock and do not know it yet.

` + exitCodeHelp,
		Example: `  dlm lock nightly-report -- ./report.sh
  dlm locks
  dlm status -o json`,
		Version:          version,
		SilenceErrors:    true,
		SilenceUsage:     true,
		PersistentPreRun: func(*cobra.Command, []string) { g.ran = true },
	}
	g.add(root)
	root.AddGroup(
		&cobra.Group{ID: groupLocks, Title: "Hold locks:"},
		&cobra.Group{ID: groupFiles, Title: "Keep files under locks:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupRun, Title: "Operate:"},
	)
	for _, group := range []struct {
		id    string
		verbs []*cobra.Command
	}{
		{groupLocks, []*cobra.Command{newLock(g), newAcquire(g), newRenew(g), newRelease(g), newCheck(g)}},
		{groupFiles, []*cobra.Command{newAppend(g), newCat(g), newFiles(g), newRm(g)}},
		{groupLook, []*cobra.Command{newLocks(g), newSessions(g), newStatus(g)}},
		{groupRun, []*cobra.Command{newRevoke(g), newLimits(g), newBackup(g), newRestore(g), newDebug(g), newBench(g)}},
	} {
		for _, verb := range group.verbs {
			verb.GroupID = group.id
			root.AddCommand(verb)
		}
	}
	cobra.EnableCommandSorting = false
	fold(root)
	g.completeFlags(root)
	// The same for the flags.
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "FlagUsages ", fmt.Sprintf("FlagUsagesWrapped %d ", helpWidth)))
	return root
}

// helpWidth is how many columns a terminal has at least.
const helpWidth = 80

// fold makes the long texts of a command, and of those below it, fit a terminal.
func fold(cmd *cobra.Command) {
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, p := range paragraphs {
		if !strings.Contains("\n"+p, "\n ") { // else it is a table
			paragraphs[i] = foldWords(strings.Fields(p))
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	for _, c := range cmd.Commands() {
		fold(c)
	}
}

func foldWords(words []string) string {
	var b strings.Builder
	column := 0
	for _, w := range words {
		switch n := len([]rune(w)); {
		case column == 0:
			column = n
		case column+1+n > helpWidth:
			b.WriteByte('\n')
			column = n
		default:
			b.WriteByte(' ')
			column += 1 + n
		}
		b.WriteString(w)
	}
	return b.String()
}
