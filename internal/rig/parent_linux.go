package rig

import "syscall"

// DieWithParent has the child killed when this process ends, however that happens.
func DieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
