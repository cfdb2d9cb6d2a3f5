package main

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"dlm/bench/side"
)

// postgres is Debian's package: the newest version that is installed.
func postgres() side.Peer {
	program := func(name string) (string, error) {
		found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
		if err != nil || len(found) == 0 {
			return "", errors.Join(err, fmt.Errorf("no /usr/lib/postgresql/*/bin/%s", name))
		}
		return slices.MaxFunc(found, func(a, b string) int { return versionOf(a) - versionOf(b) }), nil
	}
	as, asErr := unprivileged()
	return side.Peer{
		Name: "postgres", Title: "PostgreSQL", How: "a row for each lock, with owner, token and expiry; pgx, a pool of up to 64 connections; polls 1 to 3 ms",
		Service: &side.Service{
			Name: "postgres", Setup: "as it comes (`synchronous_commit` and `fsync` on), with 100 connections", Ports: 1, Stop: syscall.SIGINT,
			Find: func() error { _, err := program("postgres"); return errors.Join(err, asErr) },
			Version: func() (string, error) {
				path, err := program("postgres")
				if err != nil {
					return "", err
				}
				v, err := side.Output(path, "--version") // postgres (PostgreSQL) 15.18 (Debian ...)
				fields := strings.Fields(v)
				return "PostgreSQL " + fields[min(2, len(fields)-1)], err
			},
			Prepare: func(dir string) error { return initdb(program, as, dir) },
			Start: func(dir string, ports []int) side.Command {
				path, _ := program("postgres") // Find has found it
				return side.Command{Path: path, As: as, Args: []string{
					"-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(ports[0]),
					"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + filepath.Join(dir, "data"),
				}}
			},
		},
		Dial: dialPostgres,
	}
}

// versionOf is the number in /usr/lib/postgresql/NUMBER/bin/name.
func versionOf(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 if it is none
	return n
}

// unprivileged is the user that its processes run as: PostgreSQL refuses to be root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

func initdb(program func(string) (string, error), as *syscall.Credential, dir string) error {
	path, err := program("initdb")
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	cmd := exec.Command(path, "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale", "C")
	cmd.Dir = dir
	if as != nil {
		if err := os.Chown(data, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w (may its user enter %s?)\n%s", err, dir, out)
	}
	return nil
}

type postgresClient struct{ pool *pgxpool.Pool }

func dialPostgres(ctx context.Context, addr string, use side.Use) (side.Client, error) {
	cfg, err := pgxpool.ParseConfig("postgres://postgres@" + addr + "/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(min(use.Workers, 64))
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`create table if not exists locks (
			name text primary key, owner text, token bigint not null, expires timestamptz not null)`,
		`truncate locks`,
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			pool.Close()
			return nil, err
		}
	}
	return &postgresClient{pool}, nil
}

// take is one statement: the row is made, or taken if it is free or its holder's time is over. Tokens grow per lock.
const take = `insert into locks as l (name, owner, token, expires) values ($1, $2, 1, now() + interval '5 minutes')
on conflict (name) do update set owner = excluded.owner, token = l.token + 1, expires = excluded.expires
where l.owner is null or l.expires < now() returning token`

func (p *postgresClient) Lock(ctx context.Context, worker int, name string) (side.Held, error) {
	owner := strconv.Itoa(worker)
	for {
		h := postgresHeld{p: p, name: name, owner: owner}
		err := p.pool.QueryRow(ctx, take, name, owner).Scan(&h.token)
		if err == nil {
			return h, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return nil, err
		}
		if err := side.Poll(ctx, mathrand.Int64N); err != nil {
			return nil, err
		}
	}
}

type postgresHeld struct {
	p           *postgresClient
	name, owner string
	token       int64
}

func (h postgresHeld) Unlock(ctx context.Context) error {
	done, err := h.p.pool.Exec(ctx, `update locks set owner = null where name = $1 and owner = $2 and token = $3`, h.name, h.owner, h.token)
	if err == nil && done.RowsAffected() != 1 {
		return errors.New("the lock was lost")
	}
	return err
}

func (p *postgresClient) Close() error {
	p.pool.Close()
	return nil
}
