//go:build !linux

package main

import (
	"errors"
	"net"
	"os"
	"time"

	"dlm/client"
)

const guardianVerb = "__guardian"

var (
	errGuardian   = errors.New("the guardian ended the command")
	errLimitClose = errors.New("the hold limit was about to pass")
	errTooClose   = errors.New("the lease was about to end")
)

func guardianMain() int { return exitUsage }

func lookPath(name string) (string, error) {
	return "", &exitError{exitCannotRun, errors.New("dlm lock runs on Linux only: elsewhere nothing ends the command in time")}
}

func notify(chan<- os.Signal) {}

func supervise(<-chan os.Signal, *client.Lock, time.Duration, string, []string, []string) (int, error, error) {
	return 0, nil, errors.ErrUnsupported
}

func samePerson(net.Conn) bool { return false }
