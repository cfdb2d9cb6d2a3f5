package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"dlm/client"
	"dlm/cmd/internal/human"
)

// checkView is what `check` prints.
type checkView struct {
	Lock    string      `json:"lock" doc:"its name"`
	Token   uint64      `json:"token" doc:"that was asked about"`
	Current bool        `json:"current" doc:"the answer"`
	Holders []partyView `json:"holders" doc:"who has the lock, if the answer is no"`
}

func newCheck(g *globals) *cobra.Command {
	var out format
	var quiet bool
	cmd := &cobra.Command{
		Use:   "check [NAME TOKEN]",
		Short: "Say whether a token is the current hold of a lock",
		Long: `Exits with 0 if TOKEN is a current hold of the lock NAME, and with 70 if not. NAME and TOKEN may be left out where DLM_LOCK and
DLM_TOKEN are set: under 'dlm lock', and after 'dlm acquire --export'.

The answer was true at one instant after the question. A resource that must not take anything late from a former holder
compares tokens itself.

` + exitCodeHelp,
		Example: `  dlm check
  dlm check nightly 3652135817330689 -q || echo "somebody else has it"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) > 2 {
				return fmt.Errorf("check: a lock's name and a token are needed, or neither: dlm %s", cmd.Use)
			}
			return nil
		},
		ValidArgsFunction: g.completeLock,
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := g.checked(args)
			if err != nil {
				return err
			}
			err = g.with(func(ctx context.Context, c *client.Client) error {
				current, info, err := c.CheckToken(ctx, v.Lock, v.Token)
				v.Current, v.Holders = current, viewLock(info).Holders
				return err
			})
			if err != nil {
				return err
			}
			if !quiet {
				if err := out.print(v, v.table); err != nil {
					return err
				}
			}
			if !v.Current {
				return &exitError{exitLost, nil}
			}
			return nil
		},
	}
	out.add(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing, only exit")
	return cmd
}

// checked is what to check: by the arguments, else by the environment.
func (g *globals) checked(args []string) (v checkView, err error) {
	if len(args) == 2 {
		v.Lock = args[0]
		if v.Token, err = strconv.ParseUint(args[1], 10, 64); err != nil {
			return v, usagef("%q is no token: it must be a number, as 'dlm locks' shows it", args[1])
		}
		return v, nil
	}
	h, err := (&holdFlags{}).find("")
	v.Lock = h.lock
	if err == nil && h.token == 0 {
		err = usagef("which token? Give NAME and TOKEN, or set DLM_TOKEN as 'dlm acquire --export' does")
	}
	v.Token = h.token
	return v, err
}

func (v checkView) table(w io.Writer) {
	name := human.Printable(v.Lock)
	switch {
	case v.Current:
		line(w, fmt.Sprintf("yes: token %d holds %s", v.Token, name))
	case len(v.Holders) == 0:
		line(w, fmt.Sprintf("no: nobody holds %s", name))
	default:
		for _, h := range v.Holders {
			state := "holds"
			if h.Revoked {
				state = "is revoked but still blocks"
			}
			line(w, fmt.Sprintf("no: token %d %s %s, of %s for %s", h.Token, state, name, h.who(), human.Span(h.age)))
		}
	}
}
