package snippet

import (
	"fmt"
	"log/slog" // want "wall clock"
	"net"      // want "shell"
	"os"       // want "vfs"
	"runtime"  // want "process to process"
	"unsafe"   // want "addresses"

	dlmv1 "dlm/api/dlm/v1"
)

func touches(a *dlmv1.Answer, x *int) string {
	fmt.Println("hello") // want "standard output"
	slog.Info("hello")
	_, _ = net.Listen("tcp", "")
	_ = os.Remove("x")
	_ = uintptr(unsafe.Pointer(x))
	runtime.GC()
	s := a.String() // want "differs between two builds"
	return s + a.GetReason().String()
}
