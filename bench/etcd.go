package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"dlm/bench/side"
)

// etcd is a server of one member; bin is the directory of its program.
func etcd(bin string) side.Peer {
	program := filepath.Join(bin, "etcd")
	url := func(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }
	return side.Peer{
		Name: "etcd", Title: "etcd", How: "concurrency.Mutex: 4 connections, a session on each; hand-off: a session for each worker",
		Service: &side.Service{
			Name: "etcd", Setup: "as it comes, with a quota of 8 GiB", Ports: 2,
			Find: func() error { _, err := os.Stat(program); return err },
			Version: func() (string, error) {
				v, err := side.Output(program, "--version")
				first, _, _ := strings.Cut(v, "\n")
				return strings.Replace(first, "etcd Version: ", "etcd ", 1), err
			},
			Start: func(dir string, ports []int) side.Command {
				return side.Command{Path: program, Args: []string{
					"--name", "n1", "--data-dir", filepath.Join(dir, "data"), "--log-level", "error", "--quota-backend-bytes", strconv.Itoa(8 << 30),
					"--listen-client-urls", url(ports[0]), "--advertise-client-urls", url(ports[0]),
					"--listen-peer-urls", url(ports[1]), "--initial-advertise-peer-urls", url(ports[1]), "--initial-cluster", "n1=" + url(ports[1]),
				}}
			},
		},
		Dial: dialEtcd,
	}
}

type etcdClient struct {
	clients  []*clientv3.Client
	sessions []*concurrency.Session
}

func dialEtcd(ctx context.Context, addr string, use side.Use) (side.Client, error) {
	e := &etcdClient{}
	connections := min(use.Workers, 4)
	if use.One {
		connections = 1
	}
	for range connections {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		e.clients = append(e.clients, c)
	}
	sessions := connections
	if use.Apart {
		sessions = use.Workers
	}
	for i := range sessions {
		s, err := concurrency.NewSession(e.clients[i%connections], concurrency.WithTTL(60), concurrency.WithContext(context.WithoutCancel(ctx)))
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		e.sessions = append(e.sessions, s)
	}
	return e, nil
}

func (e *etcdClient) Lock(ctx context.Context, worker int, name string) (side.Held, error) {
	m := concurrency.NewMutex(e.sessions[worker%len(e.sessions)], name)
	return m, m.Lock(ctx)
}

// patience is how long it may take to give 100,000 locks back.
const patience = 2 * time.Minute

func (e *etcdClient) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for i, s := range e.sessions {
		s.Orphan() // ends its keep-alives; Close would revoke too, but waits no longer than the TTL
		_, err := e.clients[i%len(e.clients)].Revoke(ctx, s.Lease())
		errs = append(errs, err)
	}
	for _, c := range e.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
