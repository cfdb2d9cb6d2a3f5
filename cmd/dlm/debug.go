package main

import "github.com/spf13/cobra"

func newDebug(*globals) *cobra.Command {
	return &cobra.Command{Use: "debug", Short: "Look into a server's data directory"}
}
