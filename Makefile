# The targets that people use carry a comment after two hashes; bare `make` prints them.
# Everything that is built goes to bin/, the server's data to data/; git ignores both.

SHELL      := /bin/bash
GO         ?= go
DATA       ?= ./data
LISTEN     ?= 127.0.0.1:50051
ADMIN      ?= 127.0.0.1:50052
SEEDS      ?= 1-200
RUN        ?=
SECONDS    ?= 5
RUNS       ?= 3
N          ?= 200
TIME       ?= 10s
SEED       ?= 1
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOLS      := bin/tools

# The binaries must run on any Linux of the architecture: static, without paths of the machine that built them.
# The version comes from `git describe` alone, so that a checkout of another user builds too.
BUILDFLAGS := -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'

# A soak is resumed by the same code only, which is known by the hash of the program: nothing but the code may be in it. The
# commit is looked up when the program is built. A soak's own line in the ledger does not make the tree a changed one.
SIMFLAGS   := -trimpath -buildvcs=false
LEDGER     := sim/LEDGER.tsv
COMMIT      = $(shell git rev-parse HEAD)$(shell git status --porcelain -- . ':!$(LEDGER)' | grep -q . && echo -dirty)

.DEFAULT_GOAL := help
.PHONY: help build run test lint docs proto protocheck sim soak simbench mutants mutantslice goals crashtest fuzz flips disktest bench benchcheck figures clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/server, bin/dlm and bin/test_goal1 ... 5 (static)
	CGO_ENABLED=0 $(GO) build $(BUILDFLAGS) -o bin/ ./cmd/...

run: build ## build and start the server: DATA=./data LISTEN=127.0.0.1:50051 ADMIN=127.0.0.1:50052
	exec ./bin/server --data '$(DATA)' --listen '$(LISTEN)' --admin '$(ADMIN)'

test: lint protocheck mutantslice $(TOOLS)/testsum ## lint, protocheck, five mutants and all tests (-race where goroutines are)
	@GO='$(GO)' scripts/test '$(TOOLS)/testsum'

lint: $(TOOLS)/gofumpt $(TOOLS)/staticcheck ## go vet, gofumpt, staticcheck
	$(GO) vet ./... && $(GO) -C tools vet ./... && $(GO) -C examples vet ./...
	@bad="$$($(TOOLS)/gofumpt -l .)"; if [ -n "$$bad" ]; then \
		echo "gofumpt: these files are not formatted; run '$(TOOLS)/gofumpt -w' on them:"; echo "$$bad"; exit 1; fi
	$(TOOLS)/staticcheck ./... && cd examples && ../$(TOOLS)/staticcheck ./...
	$(GO) -C bench vet ./side && cd bench && ../$(TOOLS)/staticcheck ./side # the rest of it needs the peers' clients: bench-peers

proto: $(TOOLS)/buf ## check api/**/*.proto and generate the Go code from them
	$(TOOLS)/buf lint
	$(TOOLS)/buf generate
	@scripts/protosums > api/proto.sums

protocheck: ## fail if the generated code does not belong to the .proto files
	@scripts/protosums | diff api/proto.sums - || \
		{ echo "protocheck: .proto files, generator settings or generated code were changed alone; run 'make proto' and commit what it changes" >&2; exit 1; }

sim: bin/simsoak ## simulate seeds on all cores: SEEDS=A-B, or SEEDS=N for 1-N
	@bin/simsoak -seeds='$(SEEDS)'

soak: bin/simsoak ## the same for long ranges, recorded in sim/LEDGER.tsv; stop with Ctrl-C, the same command goes on
	@bin/simsoak -seeds='$(SEEDS)' -ledger=$(LEDGER) -commit='$(COMMIT)'

.PHONY: timeline
timeline: ## draw the run of a seed as one HTML file and name it: SEED=N
	@mkdir -p bin/timelines
	@$(GO) test ./sim -run '^TestOne$$' -v -seed='$(SEED)' -minimise=0 -html=bin/timelines/seed-$(SEED).html | \
		grep -E '^ *(the picture|G[0-9]+ is broken|L[0-9]+ is broken|At [0-9.]+ s:|FAIL|ok)' || true

.PHONY: bin/simsoak
bin/simsoak:
	@$(GO) build $(SIMFLAGS) -o $@ ./sim/soak

mutants: $(TOOLS)/mutants ## break the code on purpose, bug by bug, and require that each is noticed: RUN=regexp
	@$< -go='$(GO)' -run='$(RUN)'

# A few of them at each commit, other ones each time.
mutantslice: $(TOOLS)/mutants
	@$< -go='$(GO)' -slice=5

.PHONY: $(TOOLS)/mutants
$(TOOLS)/mutants:
	@$(GO) build $(SIMFLAGS) -o $@ ./internal/mutants

goals: build ## show the five goals on real processes: loss, duplicates, timeout, fencing, crash
	@scripts/goals

crashtest: ## kill a server N times that loses what is not synced, under 64 clients: N=200
	$(GO) build -o bin/crashtest/ ./internal/crashtest ./internal/crashtest/server
	bin/crashtest/crashtest --rounds '$(N)' --server bin/crashtest/server

fuzz: ## run each fuzz target for a while: TIME=10m
	@GO='$(GO)' scripts/fuzz '$(TIME)'

bench: build ## start a server and measure it with dlm bench: SECONDS=5 RUNS=3
	@scripts/bench "$(SECONDS)" "$(RUNS)"

benchcheck: ## compare what operations allocate with what is recorded; RECORD=1 records it
	@set -o pipefail; $(GO) test ./internal/costs -count 1 -run '^TestCosts$$' -v $(if $(RECORD),-args -record) | grep -v '^=== '

# A module of its own: what the peers' clients and servers need is no dependency of ours. FLAGS are those of bin/peers/bench.
PEERS := bin/peers
.PHONY: bench-peers bench-profile bench-document $(PEERS)/bench
bench-peers: build $(PEERS)/bench $(PEERS)/etcd ## compare with etcd, Redis, ZooKeeper, PostgreSQL: ROUNDS=3 CELL=5s OUT=docs/benchmarks FLAGS=-quick
	$(PEERS)/bench peers $(if $(ROUNDS),-rounds '$(ROUNDS)') $(if $(CELL),-cell '$(CELL)') $(if $(OUT),-out '$(OUT)') $(FLAGS)

bench-profile: build $(PEERS)/bench ## see where the time goes under each workload: CELL=5s OUT=docs/benchmarks FLAGS=
	$(PEERS)/bench profile $(if $(CELL),-cell '$(CELL)') $(if $(OUT),-out '$(OUT)') $(FLAGS)

bench-document: $(PEERS)/bench ## make the tables and the plot of docs/benchmarks.md from its results
	$(PEERS)/bench document $(if $(OUT),-out '$(OUT)')

$(PEERS)/bench: $(TOOLS)/staticcheck
	$(GO) -C bench vet ./... && cd bench && ../$(TOOLS)/staticcheck ./...
	$(GO) -C bench build -buildvcs=false -o ../$@ .

$(PEERS)/etcd: bench/etcdserver/go.mod
	$(GO) -C bench/etcdserver build -trimpath -buildvcs=false -o ../../$@ go.etcd.io/etcd/server/v3

.PHONY: benchbig
benchbig: build ## measure a server that holds 1,000,000 locks: with and without snapshots, restarts
	$(GO) run ./internal/bigbench -server bin/server

.PHONY: overload
overload: build ## ask a server for twice what it can do: throughput, renewals, memory; PASS or FAIL (two minutes, a quiet machine)
	@mkdir -p bin/tools && $(GO) build -o bin/tools/overload ./internal/overload
	@bin/tools/overload -server bin/server

simbench: ## measure the simulator: events and simulated seconds a second on one core
	@$(GO) run ./sim/simbench

docs: ## make the reference in docs/cli.md from the commands
	$(GO) test ./cmd/dlm -count 1 -run "^TestDocs$$" -args -update

flips: ## flip every bit of a store's files, one by one (minutes); `make test` takes one in 61
	$(GO) test ./wal -v -run 'TestEveryBit|TestCutAtEveryByte|TestTruncatedAtEveryByte' -timeout 30m -args -flips=0/1

disktest: ## the real server on failing and full disks, every injected fault (needs strace and root)
	$(GO) test ./internal/disktest -v -timeout 30m -args -all

figures: ## measure server and client on this machine (benchmarks)
	$(GO) test ./internal/figures -run '^$$' -bench . -benchtime 5s -timeout 30m

clean: ## remove bin/ (and never data/)
	rm -rf bin

# The tools are pinned in a module of their own, so that they stay out of the dependencies of what we ship.
# Each is built only by the target that needs it: buf, the largest, only by `make proto`.
$(TOOLS)/buf: tools/go.mod
	$(GO) -C tools build -buildvcs=false -o ../$@ github.com/bufbuild/buf/cmd/buf
$(TOOLS)/gofumpt: tools/go.mod
	$(GO) -C tools build -buildvcs=false -o ../$@ mvdan.cc/gofumpt
$(TOOLS)/staticcheck: tools/go.mod
	$(GO) -C tools build -buildvcs=false -o ../$@ honnef.co/go/tools/cmd/staticcheck
$(TOOLS)/testsum: tools/go.mod tools/testsum/main.go
	$(GO) -C tools build -buildvcs=false -o ../$@ ./testsum
