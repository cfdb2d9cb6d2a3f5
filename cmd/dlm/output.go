package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	dlmv1 "dlm/api/dlm/v1"
)

// format is the -o flag.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "table|json" }

func (f *format) Set(s string) error {
	if s != "table" && s != "json" {
		return errors.New("must be table or json")
	}
	*f = format(s)
	return nil
}

func (f *format) add(cmd *cobra.Command) {
	*f = "table"
	cmd.Flags().VarP(f, "output", "o", "how to print")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// print writes v as JSON or by table, which gets columns that are separated by tabs.
func (f format) print(v any, table func(w io.Writer)) error {
	if f == "json" {
		return writeJSON(os.Stdout, v, "  ")
	}
	return writeTable(os.Stdout, table)
}

func writeJSON(w io.Writer, v any, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

func writeTable(out io.Writer, table func(w io.Writer)) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// line writes one line of a table.
func line(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = fmt.Sprint(c)
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// pairs writes a table of names and values.
func pairs(w io.Writer, cells ...any) {
	for i := 0; i < len(cells); i += 2 {
		line(w, cells[i], cells[i+1])
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %s", n, plural(what))
}

// bytesView is a byte string in JSON: as text if it is UTF-8, else in base64.
func bytesView(b []byte) (text, encoded string) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return "", base64.StdEncoding.EncodeToString(b)
}

// between is b - a in cluster time, 0 if that is not a duration.
func between(a, b uint64) time.Duration {
	if b < a || a == 0 && b == 0 {
		return 0
	}
	return time.Duration(b - a)
}

// secs is a duration in JSON: seconds, to the millisecond.
func secs(d time.Duration) float64 { return d.Truncate(time.Millisecond).Seconds() }

func modeName(m dlmv1.Mode) string {
	return strings.ToLower(strings.TrimPrefix(m.String(), "MODE_"))
}

func plural(what string) string {
	if strings.HasSuffix(what, "s") {
		return what + "es"
	}
	return what + "s"
}
