package human

import (
	"math"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "500ms": 500 * time.Millisecond, "30s": 30 * time.Second, "90s": 90 * time.Second, "5m": 5 * time.Minute,
		"1h": time.Hour, "1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "7d": 7 * day, "1d12h": 36 * time.Hour, "365d": 365 * day,
	} {
		d, err := ParseDuration(text)
		if err != nil || d != want {
			t.Errorf("%s: got %v, %v", text, d, err)
		}
		if back, err := ParseDuration(Duration(want)); err != nil || back != want {
			t.Errorf("%v is printed as %s, which reads as %v, %v", want, Duration(want), back, err)
		}
	}
	for _, text := range []string{"", "30", "s", "-1s", "1d-1h", "1d+1h", "d", "-1d", "1x", "99999999999d", "106751d24h", "9999999999h", "1.5d"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q reads as %v", text, d)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", 90 * time.Second: "1m30s", time.Minute: "1m", time.Hour: "1h", 10 * time.Minute: "10m",
		20 * time.Hour: "20h", time.Hour + time.Second: "1h0m1s", 365 * day: "365d", 36 * time.Hour: "1d12h", math.MaxInt64: "106751d23h47m16.854775807s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1234 * time.Millisecond: "1.2s", 59*time.Second + 999*time.Millisecond: "59s", 3*time.Minute + 7*time.Second: "3m07s",
		25*time.Hour + 61*time.Second: "25h01m", 50 * time.Hour: "2d02h",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "1": 1, "4097": 4097, "64KiB": 64 << 10, "16MiB": 16 << 20, "3GiB": 3 << 30, "1TiB": 1 << 40} {
		if n, err := ParseBytes(text); err != nil || n != want {
			t.Errorf("%s: got %d, %v", text, n, err)
		}
		if Bytes(want) != text {
			t.Errorf("%d: got %s", want, Bytes(want))
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1KB", "99999999999GiB", "1.5MiB"} {
		if n, err := ParseBytes(text); err == nil {
			t.Errorf("%q reads as %d", text, n)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", "über/1": "über/1", "": `""`, " a": `" a"`, "a\x1b[2J": `"a\x1b[2J"`, `a"b`: `"a\"b"`, "a\xff": `"a\xff"`, "\u202e": `"\u202e"`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		`client: lock "a": engine: the wait timeout passed`:                   `lock "a": the wait timeout passed`,
		"usage: grpcserver: bad option: core: bad configuration: core: limit": "usage: bad option: bad configuration: limit",
		"client: status: too late (engine: unavailable: x)":                   "status: too late (unavailable: x)",
		`lock "client: x": no`: `lock "client: x": no`,
	} {
		if got := Plain(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
