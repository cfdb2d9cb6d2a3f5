package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dlm/client"
)

// Completion asks the server for names. It must never make a shell hang or print anything.
const (
	completeTimeout = time.Second
	completeMost    = 200
)

// ask collects names until there are enough, time is up or an error comes.
func (g *globals) ask(f func(ctx context.Context, c *client.Client, add func(name string) bool)) ([]string, cobra.ShellCompDirective) {
	var names []string
	if c, err := client.Dial(g.server); err == nil {
		defer func() { _ = c.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
		defer cancel()
		f(ctx, c, func(name string) bool {
			names = append(names, name)
			return len(names) < completeMost
		})
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (g *globals) completeLocks(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.ask(func(ctx context.Context, c *client.Client, add func(string) bool) {
		for l, err := range c.Locks(ctx, prefix) {
			if err != nil || !add(l.GetLock()) {
				return
			}
		}
	})
}

// completeLock is for verbs whose first argument is a lock; `lock` goes on with the shell's own completion of commands.
func (g *globals) completeLock(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if cmd.Name() == "lock" && len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return g.completeLocks(cmd, args, prefix)
}

func (g *globals) completeFiles(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.ask(func(ctx context.Context, c *client.Client, add func(string) bool) {
		for f, err := range c.Files(ctx, prefix) {
			if err != nil || !add(f.GetFile()) {
				return
			}
		}
	})
}

// completeLockAndFile completes a lock's name, then a file's.
func (g *globals) completeLockAndFile(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return g.completeLocks(cmd, args, prefix)
	}
	return g.completeFiles(cmd, args[1:], prefix)
}

// completeFlags gives the flags of a command, and of those below it, what their values can be: sessions, or nothing rather
// than names of files.
func (g *globals) completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		what, _ := pflag.UnquoteUsage(f)
		switch _, done := cmd.GetFlagCompletionFunc(f.Name); {
		case done, f.NoOptDefVal != "", what == "directory":
		case f.Name == "session":
			_ = cmd.RegisterFlagCompletionFunc(f.Name, g.completeSessions)
		default:
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
	for _, c := range cmd.Commands() {
		g.completeFlags(c)
	}
}

func (g *globals) completeSessions(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return g.ask(func(ctx context.Context, c *client.Client, add func(string) bool) {
		for s, err := range c.Sessions(ctx) {
			if err != nil {
				return
			}
			id := strconv.FormatUint(s.GetSession(), 10)
			if strings.HasPrefix(id, prefix) && !add(fmt.Sprintf("%s\t%s", id, s.GetLabel())) {
				return
			}
		}
	})
}
