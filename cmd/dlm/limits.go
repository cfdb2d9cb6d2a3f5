package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/client"
	"dlm/cmd/internal/human"
)

// limit is one field of the cluster's limits, as people name it.
type limit struct {
	field protoreflect.FieldDescriptor
	name  string // the field's, with dashes and without its unit
	unit  string // "duration", "bytes", "ppm" or "count"
}

// aboutLimits says what each limit bounds.
var aboutLimits = map[string]string{
	"sessions":          "open sessions",
	"locks":             "locks that are held, waited for or in lock-delay",
	"holds-per-session": "locks that one session may hold",
	"waiters-per-lock":  "length of one lock's queue",
	"window":            "unanswered requests of one session",
	"name-bytes":        "length of a lock's or a file's name",
	"value-bytes":       "length of the value that a holder shows",
	"text-bytes":        "length of a session's label or of a revoke's reason",
	"append-bytes":      "data of one append",
	"files":             "files",
	"file-bytes":        "length of one file",
	"default-ttl":       "TTL of a session that asks for none",
	"min-ttl":           "shortest TTL",
	"max-ttl":           "longest TTL",
	"max-wait":          "longest wait timeout",
	"max-hold-limit":    "longest hold limit",
	"max-lock-delay":    "longest lock-delay",
	"drift-ppm":         "how far the rates of two clocks may differ, in millionths",
}

// allLimits are in the order of their numbers.
func allLimits() []limit {
	fields := (&dlmv1.Limits{}).ProtoReflect().Descriptor().Fields()
	limits := make([]limit, fields.Len())
	for i := range limits {
		field := fields.Get(i)
		l := limit{field: field, name: string(field.Name()), unit: "count"}
		switch {
		case strings.HasSuffix(l.name, "_nanos"):
			l.name, l.unit = strings.TrimSuffix(l.name, "_nanos"), "duration"
		case strings.HasSuffix(l.name, "_bytes"):
			l.unit = "bytes"
		case strings.HasSuffix(l.name, "_ppm"):
			l.unit = "ppm"
		}
		l.name = strings.ReplaceAll(l.name, "_", "-")
		limits[i] = l
	}
	return limits
}

func (l limit) parse(text string) (uint64, error) {
	switch l.unit {
	case "duration":
		d, err := human.ParseDuration(text)
		return uint64(d), err
	case "bytes":
		return human.ParseBytes(text)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("must be a number")
	}
	return n, nil
}

func (l limit) text(v uint64) string {
	switch {
	case l.unit == "duration" && v <= math.MaxInt64:
		return human.Duration(time.Duration(v))
	case l.unit == "bytes":
		return human.Bytes(v)
	}
	return strconv.FormatUint(v, 10)
}

// limitView is one limit as printed. Value is in nanoseconds for a duration.
type limitView struct {
	Limit string `json:"limit" doc:"its name"`
	Value uint64 `json:"value" doc:"in nanoseconds, bytes, millionths or pieces"`
	Unit  string `json:"unit" doc:"duration, bytes, ppm or count"`
	Text  string `json:"text" doc:"the value as it can be given to set"`
	About string `json:"about" doc:"what it bounds"`
}

func newLimits(g *globals) *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Show the cluster's limits",
		Long: `Shows the limits that the cluster keeps: past them a caller gets an error (exit code 75, or 2 for what is too large in itself).
They belong to the cluster; 'dlm limits set' changes them. What exceeds a lowered limit already stays.`,
		Example: `  dlm limits
  dlm limits -o json
  dlm limits set default-ttl 45s`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			return g.with(func(ctx context.Context, c *client.Client) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				views := viewLimits(st.GetLimits())
				return out.print(views, func(w io.Writer) {
					line(w, "LIMIT", "VALUE", "WHAT IT BOUNDS")
					for _, v := range views {
						line(w, v.Limit, v.Text, v.About)
					}
				})
			})
		},
	}
	out.add(cmd)
	cmd.AddCommand(newLimitsSet(g))
	return cmd
}

func viewLimits(m *dlmv1.Limits) []limitView {
	var views []limitView
	for _, l := range allLimits() {
		v := m.ProtoReflect().Get(l.field).Uint()
		views = append(views, limitView{l.name, v, l.unit, l.text(v), aboutLimits[l.name]})
	}
	return views
}

func limitNames() (names []string) {
	for _, l := range allLimits() {
		names = append(names, l.name)
	}
	return names
}

func newLimitsSet(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "set LIMIT VALUE",
		Short: "Change one of the cluster's limits",
		Long: `Changes one limit, at once and for the whole cluster. Durations are written as 30s, 5m, 1h30m or 7d, sizes as 65536, 64KiB, 16MiB or
1GiB. A lower limit takes nothing away that is there already.`,
		Example: `  dlm limits set default-ttl 45s
  dlm limits set append-bytes 512KiB`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("limits set: the name of a limit and its value are needed: dlm limits %s", cmd.Use)
			}
			return nil
		},
		ValidArgsFunction: cobra.FixedCompletions(limitNames(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, l := range allLimits() {
				if l.name == args[0] {
					return g.setLimit(l, args[1])
				}
			}
			return usagef("there is no limit %q; there are %s", args[0], strings.Join(limitNames(), ", "))
		},
	}
}

func (g *globals) setLimit(l limit, text string) error {
	v, err := l.parse(text)
	if err == nil && v == 0 {
		err = fmt.Errorf("must not be 0")
	}
	if err != nil {
		return usagef("%s %q: %w", l.name, text, err)
	}
	change := &dlmv1.Limits{}
	change.ProtoReflect().Set(l.field, protoreflect.ValueOfUint64(v))
	return g.with(func(ctx context.Context, c *client.Client) error { return c.SetLimits(ctx, change) })
}
