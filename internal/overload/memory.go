package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// memory is what a process had resident, ten times a second.
type memory struct {
	stop  chan struct{}
	ended sync.WaitGroup
	mib   []float64
}

func watchMemory(pid int) *memory {
	m := &memory{stop: make(chan struct{})}
	m.ended.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if mib, err := resident(pid); err == nil {
					m.mib = append(m.mib, mib)
				}
			case <-m.stop:
				return
			}
		}
	})
	return m
}

// thirds ends the watch and returns the most of its second and its last third. In the first it may grow to what the load needs.
func (m *memory) thirds() (second, last float64) {
	close(m.stop)
	m.ended.Wait()
	for i, mib := range m.mib {
		switch i * 3 / len(m.mib) {
		case 1:
			second = max(second, mib)
		case 2:
			last = max(last, mib)
		}
	}
	return second, last
}

func resident(pid int) (mib float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm says %q", b)
	}
	pages, err := strconv.ParseFloat(string(fields[1]), 64)
	return pages * float64(os.Getpagesize()) / (1 << 20), err
}
