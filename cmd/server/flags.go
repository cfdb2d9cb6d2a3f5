package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/cmd/internal/human"
	"dlm/grpcserver"
)

// environment is the process's variables by name.
type environment map[string]string

func newEnvironment(vars []string) environment {
	env := environment{}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return env
}

// settings are the flags' values.
type settings struct {
	listen        string
	admin         string
	data          string
	lockTimeout   time.Duration
	logFormat     string
	logLevel      slog.Level
	snapshotBytes uint64
	reserveBytes  uint64
}

// newCommand is the command line. Errors of it wrap errUsage.
func newCommand(env environment) *cobra.Command {
	s := settings{logFormat: "text", snapshotBytes: 64 << 20, reserveBytes: 128 << 20, lockTimeout: 30 * time.Second}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "A distributed lock manager's server, with embedded storage",
		Long: "server runs the lock manager on one address with its storage in one directory.\n" +
			"SIGTERM and SIGINT stop it gracefully; nothing that was acknowledged is ever lost.\n\n" +
			"Each flag can also be given as an environment variable: --lock-timeout is\n" +
			"DLM_SERVER_LOCK_TIMEOUT. The flag wins.",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
			}
			return nil
		},
		PreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnv(cmd.Flags(), env) },
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetVersionTemplate("server {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w", errUsage, err)
	})
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&s.listen, "listen", "127.0.0.1:50051", "address to serve on")
	f.StringVar(&s.admin, "admin", "", "address for /metrics, /healthz, /readyz and /debug/pprof over HTTP;\nempty for none; it shows much and asks nobody who he is, so keep it local")
	f.StringVar(&s.data, "data", "./data", "data directory; made if it is missing")
	f.Var(duration{&s.lockTimeout}, "lock-timeout",
		"how long a session and its locks outlive the last sign of life of\ntheir client, if it asks for nothing else; for a new data directory")
	f.Var(oneOf{&s.logFormat, []string{"text", "json"}}, "log-format", "text or json")
	f.Var(level{&s.logLevel}, "log-level", "debug, info, warn or error")
	f.Var(size{&s.reserveBytes}, "disk-reserve", "free disk space that appends must leave, at least 64MiB: renewals and releases\ngo on when the disk is nearly full")
	f.Var(size{&s.snapshotBytes}, "snapshot-bytes", "how much log to write between snapshots, such as 16MiB")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := s.options(f.Changed("lock-timeout"))
		if err != nil {
			return err
		}
		logger := s.logger(cmd.ErrOrStderr())
		for _, name := range unknownVariables(f, env) {
			logger.Warn("a variable that no flag knows is ignored; 'server --help' lists the flags", "name", name)
		}
		return serve(cmd.Context(), o, s.listen, s.admin, logger)
	}
	return cmd
}

// fromEnv sets the flags that were not given from their variables.
func fromEnv(flags *pflag.FlagSet, env environment) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		value, ok := env[name]
		if !ok || f.Changed || err != nil || f.Name == "help" || f.Name == "version" {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("%w: variable %s: %w", errUsage, name, e)
		}
	})
	return err
}

const envPrefix = "DLM_SERVER_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// unknownVariables are misspelt, most likely. They are no error: Kubernetes sets such variables by itself for a service
// that is called dlm-server.
func unknownVariables(flags *pflag.FlagSet, env environment) []string {
	known := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) { known[envName(f.Name)] = true })
	var unknown []string
	for name := range env {
		if strings.HasPrefix(name, envPrefix) && !known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// options checks what the flags' types could not. The lock timeout counts as asked for only if somebody did.
func (s settings) options(timeoutGiven bool) (grpcserver.Options, error) {
	o := grpcserver.Options{Dir: s.data, Version: version, SnapshotBytes: s.snapshotBytes, ReserveBytes: s.reserveBytes}
	if timeoutGiven {
		o.Limits = &dlmv1.Limits{DefaultTtlNanos: uint64(s.lockTimeout)}
	}
	if err := checkAddress("--listen", s.listen); err != nil {
		return o, err
	}
	if s.admin != "" {
		if err := checkAddress("--admin", s.admin); err != nil {
			return o, err
		}
	}
	if err := o.Validate(); err != nil {
		if _, why, ok := strings.Cut(err.Error(), "bad limits: "); ok {
			return o, fmt.Errorf("%w: --lock-timeout: %s", errUsage, why)
		}
		return o, fmt.Errorf("%w: %s", errUsage, byFlag.Replace(err.Error()))
	}
	return o, nil
}

// byFlag names what is wrong as who gave it did.
var byFlag = strings.NewReplacer("grpcserver: bad option: ", "", "bytes between snapshots", "--snapshot-bytes", "reserved bytes", "--disk-reserve")

func checkAddress(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s must be HOST:PORT, such as 127.0.0.1:50051: %w", errUsage, flag, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%w: %s: the port must be a number from 0 to 65535, got %q", errUsage, flag, port)
	}
	return nil
}

func (s settings) logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.logLevel}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// oneOf is a flag with a few values.
type oneOf struct {
	to      *string
	allowed []string
}

func (v oneOf) String() string {
	if v.to == nil {
		return ""
	}
	return *v.to
}
func (oneOf) Type() string { return "string" }

func (v oneOf) Set(text string) error {
	for _, a := range v.allowed {
		if text == a {
			*v.to = text
			return nil
		}
	}
	return fmt.Errorf("must be %s", strings.Join(v.allowed, " or "))
}

// level is a flag for the least important lines to log.
type level struct{ to *slog.Level }

func (v level) String() string {
	if v.to == nil {
		return ""
	}
	return strings.ToLower(v.to.String())
}
func (level) Type() string { return "string" }

func (v level) Set(text string) error {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if text == strings.ToLower(l.String()) {
			*v.to = l
			return nil
		}
	}
	return fmt.Errorf("must be debug, info, warn or error")
}

// duration is a flag for a length of time that is positive.
type duration struct{ to *time.Duration }

func (v duration) String() string {
	if v.to == nil {
		return ""
	}
	return human.Duration(*v.to)
}
func (duration) Type() string { return "duration" }

func (v duration) Set(text string) error {
	d, err := human.ParseDuration(text)
	if err == nil && d == 0 {
		err = errors.New("must be positive")
	}
	if err == nil {
		*v.to = d
	}
	return err
}

// size is a flag for a number of bytes that is positive, with or without a binary unit.
type size struct{ to *uint64 }

func (v size) String() string {
	if v.to == nil {
		return ""
	}
	return human.Bytes(*v.to)
}
func (size) Type() string { return "bytes" }

func (v size) Set(text string) error {
	n, err := human.ParseBytes(text)
	if err == nil && n == 0 {
		err = errors.New("must be positive")
	}
	if err == nil {
		*v.to = n
	}
	return err
}
