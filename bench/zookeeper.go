package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"dlm/bench/side"
)

const zookeeperJar = "/usr/share/java/zookeeper.jar"

// zookeeper is Debian's package, standalone.
func zookeeper() side.Peer {
	return side.Peer{
		Name: "zookeeper", Title: "ZooKeeper", How: "the lock recipe of go-zookeeper: 8 connections, which are sessions",
		Service: &side.Service{
			Name: "zookeeper", Setup: "standalone, as it comes, `-Xmx2g`", Ports: 1,
			Find: func() error {
				if _, err := exec.LookPath("java"); err != nil {
					return err
				}
				_, err := os.Stat(zookeeperJar)
				return err
			},
			Version: func() (string, error) {
				found, err := filepath.Glob("/usr/share/java/zookeeper-[0-9]*.jar") // zookeeper-3.8.0.jar
				if err != nil || len(found) == 0 {
					return "ZooKeeper", err
				}
				return "ZooKeeper " + strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "zookeeper-"), ".jar"), nil
			},
			Prepare: func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "log4j.properties"), nil, 0o644)
			},
			Start: func(dir string, ports []int) side.Command {
				return side.Command{Path: "java", Args: []string{
					"-Xms512m", "-Xmx2g", "-Dzookeeper.admin.enableServer=false", "-Dzookeeper.maxCnxns=0",
					"-cp", dir + ":" + zookeeperJar, "org.apache.zookeeper.server.ZooKeeperServerMain",
					fmt.Sprint(ports[0]), filepath.Join(dir, "data"), "2000", "0",
				}}
			},
		},
		Dial: dialZookeeper,
	}
}

type zookeeperClient struct{ conns []*zk.Conn }

type silent struct{}

func (silent) Printf(string, ...any) {}

func dialZookeeper(ctx context.Context, addr string, use side.Use) (side.Client, error) {
	z := &zookeeperClient{}
	connections := min(use.Workers, 8)
	if use.One {
		connections = 1
	}
	for range connections {
		c, events, err := zk.Connect([]string{addr}, 30*time.Second, zk.WithLogger(silent{}), zk.WithLogInfo(false))
		if err != nil {
			return nil, errors.Join(err, z.Close())
		}
		z.conns = append(z.conns, c)
		if err := waitForSession(ctx, events); err != nil {
			return nil, errors.Join(err, z.Close())
		}
	}
	if _, err := z.conns[0].Create("/locks", nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
		return nil, errors.Join(err, z.Close())
	}
	return z, nil
}

func waitForSession(ctx context.Context, events <-chan zk.Event) error {
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				go func() {
					for range events { // until the connection is closed: nobody else reads them
					}
				}()
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return errors.New("no session within 30 seconds")
		}
	}
}

func (z *zookeeperClient) Lock(_ context.Context, worker int, name string) (side.Held, error) {
	l := zk.NewLock(z.conns[worker%len(z.conns)], "/locks/"+name, zk.WorldACL(zk.PermAll))
	return zookeeperHeld{l}, l.Lock()
}

type zookeeperHeld struct{ l *zk.Lock }

func (h zookeeperHeld) Unlock(context.Context) error { return h.l.Unlock() }

func (z *zookeeperClient) Close() error {
	for _, c := range z.conns {
		c.Close() // ends the session, with its nodes
	}
	return nil
}
