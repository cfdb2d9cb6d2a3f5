package house

import "strings"

// rule says what one package, or one tree of packages, may import.
type rule struct {
	// pkg is the import path; one that ends in /... covers everything below it. The first rule that fits counts.
	pkg string
	// why is said when the rule is broken.
	why string
	// ours and theirs are the allowed imports from this module and from others; those that end in / allow a tree. The
	// standard library is free, except for pure packages.
	ours, theirs []string
	// pure packages run inside the simulator.
	pure bool
	// except holds what a pure package may do all the same, and why: keys are import paths.
	except map[string]string
}

const (
	api      = "dlm/api/dlm/v1"
	stubs    = "dlm/api/dlm/v1/dlmv1grpc"
	protobuf = "google.golang.org/protobuf/"
	grpc     = "google.golang.org/grpc"
	raft     = "go.etcd.io/raft/v3"
	codec    = "github.com/planetscale/vtprotobuf/protohelpers"
)

// rules is the table of DESIGN's layers, from the bottom up.
var rules = []rule{
	{
		pkg: api, why: "the vocabulary is imported by everything and so must import nothing; the services have a package of their own to keep gRPC out of the core",
		theirs: []string{protobuf, codec},
	},
	{
		pkg: stubs, why: "the service stubs know the messages and gRPC, nothing else",
		ours: []string{api}, theirs: []string{protobuf, grpc, grpc + "/"},
	},
	{
		pkg: "dlm/wire", why: "what carries messages over a connection knows neither who sends them nor what they mean",
		theirs: []string{protobuf, grpc + "/codes", grpc + "/status", "google.golang.org/genproto/googleapis/rpc/"},
	},
	{
		pkg: "dlm/core", why: "the lock table is a function of the log: it must not know how entries are stored, replicated or sent",
		ours: []string{api}, theirs: []string{protobuf}, pure: true,
	},
	{
		pkg: "dlm/wal/vfs", why: "the file system that is injected must not know who provides or uses it", pure: true,
	},
	{
		pkg: "dlm/wal/osfs", why: "the real file system knows the interface it provides, nothing of who uses it",
		ours: []string{"dlm/wal/vfs"}, theirs: []string{"golang.org/x/sys/unix"},
	},
	{
		pkg: "dlm/wal", why: "the log stores raft's entries as bytes and must not know what they mean; all its I/O goes through vfs",
		ours: []string{"dlm/wal/vfs"}, theirs: []string{protobuf, raft + "/raftpb"}, pure: true,
		except: map[string]string{
			"sync":        "the log side and the file side of a Store are called from two goroutines",
			"sync/atomic": "the log side and the file side of a Store are called from two goroutines",
		},
	},
	{
		pkg: "dlm/replica", why: "a member is sans-I/O: frames and disk tasks are its outputs, gRPC and files are the shell's",
		ours: []string{api, "dlm/core", "dlm/wal", "dlm/wal/vfs", "dlm/replica/backup"}, theirs: []string{protobuf, raft, raft + "/"}, pure: true,
	},
	{
		pkg: "dlm/replica/backup", why: "a backup is bytes made of the lock table, and a store made of those: who sends and keeps them is the shell's business",
		ours: []string{"dlm/core", "dlm/wal", "dlm/wal/vfs"}, pure: true,
	},
	{
		pkg: "dlm/grpcserver/...", why: "the server's shell runs a replica on a disk behind gRPC; it must not reach past the replica into raft, nor know clients or the simulator",
		ours:   []string{api, stubs, "dlm/wire", "dlm/replica", "dlm/replica/backup", "dlm/core", "dlm/wal", "dlm/wal/vfs", "dlm/wal/osfs", "dlm/grpcserver/"},
		theirs: []string{protobuf, raft + "/raftpb", grpc, grpc + "/", "google.golang.org/genproto/googleapis/rpc/", "golang.org/x/sync/errgroup", "golang.org/x/sys/unix", "github.com/prometheus/client_golang/"},
	},
	{
		pkg: "dlm/client/engine", why: "the engine decides and its callers do: the simulator drives the same code as the library",
		ours: []string{api}, theirs: []string{protobuf}, pure: true,
	},
	{
		pkg: "dlm/client/...", why: "applications import the client: it must not bring the server along",
		ours:   []string{api, stubs, "dlm/wire", "dlm/client/"},
		theirs: []string{protobuf, grpc, grpc + "/", "golang.org/x/sync/errgroup", "golang.org/x/sys/unix"},
	},
	{
		pkg: "dlm/netsim", why: "virtual time and the network carry bytes and know nobody who sends them", pure: true,
	},
	{
		pkg: "dlm/sim/simdisk", why: "the simulated disk knows the interface it provides, nothing of who uses it",
		ours: []string{"dlm/wal/vfs"}, pure: true,
	},
	{
		pkg: "dlm/sim/history", why: "recorded histories are data: who records and who judges them meet here", pure: true,
	},
	{
		pkg: "dlm/sim", why: "the simulated world joins the real replica and the real engine by the simulated network and disk; the shells with their goroutines cannot live in it",
		ours:   []string{api, "dlm/netsim", "dlm/sim/simdisk", "dlm/sim/history", "dlm/core", "dlm/wal", "dlm/wal/vfs", "dlm/replica", "dlm/replica/backup", "dlm/client/engine"},
		theirs: []string{protobuf, raft, raft + "/"}, pure: true,
		except: map[string]string{
			"crypto/rand": "raft draws election timeouts from crypto/rand.Reader: the world puts a seeded reader there",
			"io":          "the type of that reader",
		},
	},
	{
		pkg: "dlm/sim/...", why: "runners and reports of the simulator",
		ours:   []string{api, "dlm/netsim", "dlm/sim", "dlm/sim/", "dlm/core", "dlm/wal", "dlm/wal/vfs", "dlm/replica", "dlm/replica/backup", "dlm/client/engine"},
		theirs: []string{protobuf, raft, raft + "/", "pgregory.net/rapid", "github.com/anishathalye/porcupine", "golang.org/x/sync/errgroup"},
	},
	{
		pkg: "dlm/cmd/...", why: "commands are thin: they start the server's shell, use the client, or run the simulator, and reach below these for nothing",
		ours:   []string{api, "dlm/grpcserver", "dlm/grpcserver/", "dlm/client", "dlm/sim", "dlm/sim/", "dlm/internal/bench", "dlm/internal/goals", "dlm/cmd/"},
		theirs: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/sys/unix", "golang.org/x/sync/errgroup", grpc, grpc + "/", protobuf},
	},
	{
		pkg: "dlm/internal/bench", why: "a benchmark does what an application does: through the client library alone",
		ours: []string{"dlm/client"}, theirs: []string{"github.com/HdrHistogram/hdrhistogram-go"},
	},
	{
		pkg: "dlm/internal/rig", why: "what breaks the path between client and server knows the client and the wire, and servers only as processes",
		ours: []string{api, stubs, "dlm/wire", "dlm/client"}, theirs: []string{protobuf + "proto", grpc, grpc + "/"},
	},
	{
		pkg: "dlm/internal/goals", why: "the goal programs use what applications use, and the rig",
		ours: []string{api, "dlm/client", "dlm/internal/rig"}, theirs: []string{protobuf + "proto"},
	},
	{
		pkg: "dlm/internal/powerfs", why: "the file system that forgets knows the interface it provides, nothing of who uses it",
		ours: []string{"dlm/wal/vfs"},
	},
	{
		pkg: "dlm/internal/crashtest/server", why: "the server under test is the real one, with another file system",
		ours: []string{"dlm/grpcserver", "dlm/internal/powerfs", "dlm/wal/osfs"},
	},
	{
		pkg: "dlm/internal/bigbench", why: "a benchmark does what an application does, and knows servers only as processes",
		ours: []string{"dlm/client", "dlm/internal/rig"},
	},
	{
		pkg: "dlm/internal/overload", why: "it loads as the benchmark does; its holders speak to the service without the library, which would hide a refusal",
		ours: []string{api, "dlm/internal/bench", "dlm/internal/rig"}, theirs: []string{"github.com/HdrHistogram/hdrhistogram-go", "golang.org/x/sys/unix"},
	},
	{
		pkg: "dlm/internal/crashtest", why: "the crash test uses what applications use, and the rig",
		ours: []string{"dlm/client", "dlm/internal/rig"},
	},
	{
		pkg: "dlm/internal/docs", why: "this package is a test only",
	},
	{
		pkg: "dlm/internal/disktest", why: "this package is tests only, of the server as a process",
	},
	{
		pkg: "dlm/internal/costs", why: "this package is tests only",
	},
	{
		pkg: "dlm/internal/figures", why: "this package is benchmarks only",
	},
	{
		pkg: "dlm/internal/house", why: "this package is a test only",
	},
	{
		pkg: "dlm/internal/mutants", why: "it changes the sources and runs their tests, so it must not be built from them",
	},
}

// pureStd is what pure packages may import from the standard library. It is a list of what is allowed, so that a package
// which is new or was not thought of is a decision. To extend it, be sure that what you add behaves as a function of its
// arguments in every process.
var pureStd = []string{
	"bytes", "cmp", "container/heap", "container/list", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt",
	"hash", "hash/crc32", "hash/crc64", "hash/fnv", "io", "io/fs", "iter", "maps", "math", "math/bits", "math/rand",
	"math/rand/v2", "path", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
}

// impureReasons says what is wrong with the packages that people reach for.
var impureReasons = map[string]string{
	"context":      "its deadlines are wall clock, its cancellation a channel",
	"crypto/rand":  "randomness that no seed repeats; take the generator that the caller passes",
	"hash/maphash": "its seed differs in every process",
	"log":          "it writes to standard error with the wall clock's time; return what happened to the caller",
	"log/slog":     "it reads the wall clock; return what happened to the caller, who logs",
	"math/rand":    "its global generator is shared and seeded by nobody",
	"net":          "the network belongs to the shell; return frames as effects",
	"os":           "the operating system belongs to the shell; files go through vfs",
	"reflect":      "it reaches maps in their random order",
	"runtime":      "what it answers differs from process to process",
	"sync":         "there is one goroutine; a lock would hide a second one",
	"sync/atomic":  "there is one goroutine; an atomic would hide a second one",
	"syscall":      "the operating system belongs to the shell",
	"unsafe":       "addresses differ from process to process",
	"google.golang.org/protobuf/encoding/protojson": "its output is made unstable on purpose: it differs between two builds",
	"google.golang.org/protobuf/encoding/prototext": "its output is made unstable on purpose: it differs between two builds",
}

// pureNames are the only names that pure packages may use of packages that also hold impure ones.
var pureNames = map[string]struct {
	names []string
	why   string
}{
	"time": {
		[]string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour", "ParseDuration"},
		"time is passed in: local clock readings are a time.Duration named now, stamps are uint64 nanoseconds",
	},
	"math/rand": {
		[]string{"New", "NewSource", "NewZipf", "Rand", "Source", "Source64", "Zipf"},
		"global randomness repeats from no seed; take the generator that the caller passes",
	},
	"math/rand/v2": {
		[]string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"},
		"global randomness repeats from no seed; take the generator that the caller passes",
	},
}

// impureNames are single names of packages that are harmless otherwise.
var impureNames = map[string]map[string]string{
	"fmt": {
		"Print": "it writes to standard output", "Printf": "it writes to standard output", "Println": "it writes to standard output",
		"Scan": "it reads standard input", "Scanf": "it reads standard input", "Scanln": "it reads standard input",
	},
	"maps": {"All": mapOrder, "Keys": mapOrder, "Values": mapOrder},
}

const (
	mapOrder   = "a map's order differs from run to run; go through the sorted helper in " + sortedFile
	sortedFile = "sorted.go"
	// sortedLines keeps the one file that may range over maps too small to hold anything else.
	sortedLines = 40
)

// ruleFor finds the rule of a package.
func ruleFor(pkg string) (rule, bool) {
	for _, r := range rules {
		if tree, isTree := strings.CutSuffix(r.pkg, "/..."); r.pkg == pkg || isTree && (pkg == tree || strings.HasPrefix(pkg, tree+"/")) {
			return r, true
		}
	}
	return rule{}, false
}

func allowed(list []string, path string) bool {
	for _, a := range list {
		if a == path || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a) {
			return true
		}
	}
	return false
}
