//go:build !linux

package rig

import "syscall"

// DieWithParent does nothing here.
func DieWithParent() *syscall.SysProcAttr { return nil }
