package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"dlm/bench/side"
)

// redisService is one server with its log synced before each answer.
func redisService() *side.Service {
	const program = "redis-server"
	return &side.Service{
		Name: "redis", Setup: "`--appendonly yes --appendfsync always`, no snapshots", Ports: 1,
		Find: func() error { _, err := exec.LookPath(program); return err },
		Version: func() (string, error) {
			v, err := side.Output(program, "--version") // Redis server v=7.0.15 sha=...
			for _, field := range strings.Fields(v) {
				if v, ok := strings.CutPrefix(field, "v="); ok {
					return "Redis " + v, err
				}
			}
			return v, err
		},
		Start: func(dir string, ports []int) side.Command {
			return side.Command{Path: program, Args: []string{
				"--port", strconv.Itoa(ports[0]), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--appendfsync", "always", "--save", "",
			}}
		},
	}
}

// redisPooled sends each command on a connection of its own from a pool, as go-redis does by itself.
func redisPooled(s *side.Service) side.Peer {
	return side.Peer{
		Name: "redis", Title: "Redis", How: "SET NX PX, release by a script that checks the token; go-redis, a pool of up to 64 connections; polls 1 to 3 ms",
		Service: s, Dial: func(ctx context.Context, addr string, use side.Use) (side.Client, error) {
			c := redis.NewClient(&redis.Options{Addr: addr, PoolSize: min(use.Workers, 64)})
			return newRedis(ctx, c, c)
		},
	}
}

// redisPipelined sends what all workers have ready as one batch.
func redisPipelined(s *side.Service) side.Peer {
	return side.Peer{
		Name: "redis-pipelined", Title: "Redis, pipelined", How: "the same through go-redis's AutoPipeline (marked experimental there), which batches the commands of all workers",
		Service: s, Only: []string{"pairs-1", "pairs-64", "pairs-1024", "half", "held"},
		Dial: func(ctx context.Context, addr string, _ side.Use) (side.Client, error) {
			c := redis.NewClient(&redis.Options{Addr: addr})
			p, err := c.AutoPipeline()
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
			return newRedis(ctx, c, p)
		},
	}
}

// redisCommands are those that a lock needs.
type redisCommands interface {
	redis.Scripter
	SetArgs(ctx context.Context, key string, value any, a redis.SetArgs) *redis.StatusCmd
}

type redisClient struct {
	client   *redis.Client
	commands redisCommands
}

var release = redis.NewScript(`if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0`)

func newRedis(ctx context.Context, c *redis.Client, commands redisCommands) (side.Client, error) {
	r := &redisClient{c, commands}
	// The script is there from the start, so that no release has to send it.
	if err := errors.Join(c.FlushDB(ctx).Err(), release.Load(ctx, c).Err()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return r, nil
}

func (r *redisClient) Lock(ctx context.Context, _ int, name string) (side.Held, error) {
	token := rand.Text()
	for {
		err := r.commands.SetArgs(ctx, name, token, redis.SetArgs{Mode: "NX", TTL: 5 * time.Minute}).Err()
		if err == nil {
			return redisHeld{r, name, token}, nil
		}
		if !errors.Is(err, redis.Nil) {
			return nil, err
		}
		if err := side.Poll(ctx, mathrand.Int64N); err != nil {
			return nil, err
		}
	}
}

type redisHeld struct {
	r           *redisClient
	name, token string
}

func (h redisHeld) Unlock(ctx context.Context) error {
	n, err := release.Run(ctx, h.r.commands, []string{h.name}, h.token).Int()
	if err == nil && n != 1 {
		return fmt.Errorf("the lock was lost")
	}
	return err
}

func (r *redisClient) Close() error { return r.client.Close() }
