package side

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is what it ran on.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	MemoryGB   int    `json:"memory_gb"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"`
	Go         string `json:"go"`
}

const tmpfs = 0x01021994

var fileSystems = map[int64]string{0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x794C7630: "overlayfs", tmpfs: "tmpfs"}

// Describe looks at the machine, and at the file system of the directory, which must be on a disk.
func Describe(dir string) (Machine, error) {
	m := Machine{CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version()}
	for _, line := range lines("/proc/cpuinfo") {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	for _, line := range lines("/proc/meminfo") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemTotal:" {
			kb, _ := strconv.Atoi(f[1]) // the kernel writes a number
			m.MemoryGB = (kb + 1<<19) >> 20
		}
	}
	if l := lines("/proc/sys/kernel/osrelease"); len(l) > 0 {
		m.Kernel = "Linux " + l[0]
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return m, fmt.Errorf("%s: %w", dir, err)
	}
	m.FileSystem = fileSystems[int64(fs.Type)]
	if m.FileSystem == "" {
		m.FileSystem = fmt.Sprintf("type %#x", fs.Type)
	}
	if int64(fs.Type) == tmpfs {
		return m, fmt.Errorf("%s is in memory (tmpfs), where syncing costs nothing: name a directory on a disk", dir)
	}
	return m, nil
}

func lines(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// probeSync is the median time in microseconds to write 4 KiB in place and sync it: what a durable answer costs at least.
func probeSync(dir string) (float64, error) {
	path := filepath.Join(dir, "sync-probe")
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	const block, blocks = 4096, 256
	if _, err := f.Write(make([]byte, block*blocks)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	data := make([]byte, block)
	var took []float64
	for i := range blocks {
		data[0] = byte(i)
		began := time.Now()
		if _, err := f.WriteAt(data, int64(i*block)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(began).Nanoseconds())/1000)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// busy is the time that all cores together have worked since the start of the machine, for whomever; and the time that the
// machine was given to others by its host.
func busy() (worked, stolen time.Duration) {
	all := lines("/proc/stat")
	if len(all) == 0 {
		return 0, 0
	}
	// cpu user nice system idle iowait irq softirq steal ...
	for i, f := range strings.Fields(all[0]) {
		n, _ := strconv.ParseInt(f, 10, 64) // the kernel writes numbers
		switch i {
		case 1, 2, 3, 6, 7:
			worked += time.Duration(n) * (time.Second / ticks)
		case 8:
			stolen += time.Duration(n) * (time.Second / ticks)
		}
	}
	return worked, stolen
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
