// Package human is how the commands speak with people: durations and sizes as they are typed and printed, and errors
// without the names of packages.
package human

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// ParseDuration reads a duration of Go, or a number of days before it: 30s, 1h30m, 7d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("must be a duration with its unit, such as 500ms, 30s, 5m, 1h30m or 7d")
	if text == "0" {
		return 0, nil
	}
	var sum time.Duration
	rest := text
	if days, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil || n > int64(math.MaxInt64/day) || n < 0 {
			return 0, bad
		}
		if sum = time.Duration(n) * day; after == "" {
			return sum, nil
		}
		rest = after
	}
	d, err := time.ParseDuration(rest)
	switch {
	case err != nil || sum > 0 && (d < 0 || rest[0] == '+'):
		return 0, bad
	case d < 0:
		return 0, fmt.Errorf("a duration must not be negative")
	case d > math.MaxInt64-sum:
		return 0, bad
	}
	return sum + d, nil
}

// Duration prints a duration exactly, as ParseDuration reads it, without units that are 0: 30s, 1h30m, 365d.
func Duration(d time.Duration) string {
	if d < time.Minute {
		return d.String()
	}
	text := ""
	if days := d / day; days > 0 {
		text = strconv.FormatInt(int64(days), 10) + "d"
		d %= day
	}
	if d == 0 {
		return text
	}
	s := d.String()
	s = strings.TrimSuffix(s, "m0s")
	if s != d.String() {
		s += "m"
	}
	s = strings.TrimSuffix(s, "h0m")
	if strings.HasSuffix(d.String(), "h0m0s") {
		s += "h"
	}
	return text + s
}

// Span prints a duration for the eye: two units at most, tenths of a second below ten seconds.
func Span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 2*day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

var units = []struct {
	name  string
	shift int
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}}

// ParseBytes reads a number of bytes, with or without a binary unit: 65536, 64KiB, 16MiB, 1GiB, 1TiB.
func ParseBytes(text string) (uint64, error) {
	number, shift := text, 0
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, shift = n, u.shift
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("must be a number of bytes, such as 65536, 64KiB, 16MiB or 1GiB")
	}
	return n << shift, nil
}

// Bytes prints a number of bytes exactly, with the largest unit that allows that.
func Bytes(n uint64) string {
	for i := len(units) - 1; i >= 0; i-- {
		if v := n >> units[i].shift; v > 0 && v<<units[i].shift == n {
			return strconv.FormatUint(v, 10) + units[i].name
		}
	}
	return strconv.FormatUint(n, 10)
}

// Printable is text that can go to a terminal: as it is if that does no harm and has a beginning and an end, else quoted.
func Printable(text string) string {
	if quoted := strconv.Quote(text); len(quoted) != len(text)+2 || text == "" || strings.TrimSpace(text) != text {
		return quoted
	}
	return text
}

// packages are the prefixes that tell a programmer where an error comes from.
var packages = regexp.MustCompile(`(^|: |\(|: \()(?:client|engine|core|grpcserver|replica|wal|osfs): `)

// Plain is an error's text without the packages that the error passed through.
func Plain(text string) string {
	for {
		next := packages.ReplaceAllString(text, "$1")
		if next == text {
			return text
		}
		text = next
	}
}
