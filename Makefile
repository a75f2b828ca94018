# Metronome. Bare `make` prints what there is; every command is printed before it runs.

# The tag and the stamp are looked up when a recipe runs, so after setup has had its say.
TAGS    = $(shell pkg-config --exists libdpdk 2>/dev/null && echo -tags=dpdk)
COMMIT  = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# A run writes results and figures: they do not make the program another one.
DIRTY   = $(shell git status --porcelain -- . ':!results' ':!figures' 2>/dev/null | grep -q . && echo -dirty)
LDFLAGS = -X metronome/internal/version.Commit=$(COMMIT)$(DIRTY)
GOFILES = $(shell git ls-files --cached --others --exclude-standard '*.go')

# Network namespaces and XDP need root: experiments run through sudo if it is there and willing, and what
# root wrote is given back to whoever asked for it.
AS_ROOT = $(if $(DRY),,$(shell test "$$(id -u)" = 0 || { sudo -n true 2>/dev/null && echo sudo; }))
GIVE_BACK = $(if $(AS_ROOT),; status=$$?; $(AS_ROOT) chown -R "$$(id -u):$$(id -g)" results; exit $$status)
RUN_FLAGS = $(if $(PROFILE),--profile=$(PROFILE)) $(if $(ARMS),--arms=$(ARMS)) \
	$(if $(INVENTORY),--inventory=$(INVENTORY)) $(if $(DRY),--dry-run)

GOLANGCI_VERSION = v2.15.0
GOLANGCI         = bin/tools/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME        ?= 10s
SEEDS           ?= 1000
LIMIT           ?= 170s
ORDERER         ?= raft
KILLS           ?= 10000
SEED            ?= 1
BACKLOG         ?= 2147483648
TESTFLAGS       ?=
SETUP           ?= yes

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help model godpdk test-pci setup ensure restore-host doctor build peers sim crash-device backlog-device \
	bench-device sim-mutations experiment experiments figures figures-diff \
	test test-long test-race fuzz bench fmt vet lint check clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Targets set this machine up first if something is missing; SETUP=no leaves it as it is."

experiment: need-name build ## run one: NAME=… [PROFILE=quick|full|smoke] [ARMS=a,b] [DRY=1] [INVENTORY=file]
	$(strip $(AS_ROOT) bin/lab run $(NAME) $(RUN_FLAGS))$(GIVE_BACK)

experiments: build ## list the experiments: question, claim, minutes
	bin/lab list

figures: build ## redraw every figure from the CSVs
	bin/lab figures

# The builds called mutation have faults built in on purpose: experiments show that the checks find them.
build: ensure ## build bin/metronome and bin/lab, with DPDK if this machine has it
	go build $(TAGS) -ldflags '$(LDFLAGS)' -o bin/ ./system/cmd/metronome ./harness/cmd/lab
	go build -tags=mutation -ldflags '$(LDFLAGS)' -o bin/lab-mutation ./harness/cmd/lab
	go build -tags=mutation -ldflags '$(LDFLAGS)' -o bin/metronome-mutation ./system/cmd/metronome

sim: build ## simulate SEEDS=1000 clusters under faults, at most LIMIT=170s, ordered by ORDERER=raft; a violation prints how to replay it
	bin/lab sim --seeds $(SEEDS) --profile all --limit $(LIMIT) --orderer $(ORDERER)

crash-device: ensure ## kill -9 a device KILLS=10000 times: each acknowledged write once and in order (SEED=1)
	go test -count=1 -timeout 60m -v -run TestCrashDevice ./system/device -device.kills=$(KILLS) -device.seed=$(SEED)

# On a machine that does nothing else: it is judged by time.
backlog-device: ensure ## a device recovers from BACKLOG=2147483648 bytes of queue in < 5 s and < 64 MiB (2 minutes)
	go test -count=1 -timeout 60m -v -run TestBacklog ./system/device -device.backlog=$(BACKLOG) -device.within=5s

bench-device: ensure ## what a device's queue takes: puts with their 99th percentile, batch import (1 minute)
	go test -run='^$$' -bench='Put|Import' -benchtime=3s -count=3 ./system/device

sim-mutations: ensure ## break the protocol on purpose, rule by rule: the simulator must notice each time
	go test -tags mutation -count=1 -timeout=60m -run Mutation -v ./harness/sim

# The servers that the store is compared with: unmodified, pinned, in a module of their own.
peers: bin/peers/etcd bin/peers/nats-server ## build etcd and nats-server for the side-by-side experiments (1 minute)

bin/peers/etcd: PACKAGE = go.etcd.io/etcd/server/v3
bin/peers/nats-server: PACKAGE = github.com/nats-io/nats-server/v2
bin/peers/%: harness/peer/servers/go.sum
	cd harness/peer/servers && go build -trimpath -o $(CURDIR)/$@ $(PACKAGE)

# A module of its own, over a library that this one does not depend on: system/packet/godpdk/README.md.
godpdk: ## build bin/ingest-godpdk, for the arm go-dpdk-memif of ingest-11x (needs DPDK and that library)
	mkdir -p bin && sed 's|=> ../../..|=> $(CURDIR)|' system/packet/godpdk/go.mod >bin/godpdk.mod
	cd system/packet/godpdk && go mod tidy -modfile=$(CURDIR)/bin/godpdk.mod && \
		go build -modfile=$(CURDIR)/bin/godpdk.mod -o $(CURDIR)/bin/ingest-godpdk ./ingest-godpdk

# Packages that measure: their tests pin processes to cores and send real traffic, and two would disturb each other.
MEASURING = /harness/(arm|cmd/lab|peer|driver/.*)$$

# The others run two packages at a time: most wait for something, and what they make is in namespaces of their own.
test: build ## run the tests: DPDK's if it is installed, the kernel's if you are root
	all=$$(go list $(TAGS) ./...) && go test $(TAGS) -p=2 -timeout=60m $(TESTFLAGS) $$(echo "$$all" | grep -vE '$(MEASURING)')
	all=$$(go list $(TAGS) ./...) && go test $(TAGS) -p=1 -timeout=60m $(TESTFLAGS) $$(echo "$$all" | grep -E '$(MEASURING)')

test-long: ensure ## run what make test shortens: a fleet killed in every phase, settings changed with three replicas (4 minutes; root)
	go test $(TAGS) -count=1 -timeout=60m $(TESTFLAGS) ./harness/fleet -fleet.long

# Packages whose tests mostly wait for programs that are built without the detector; what runs in the tests
# themselves is not checked either.
PROCESSES = arm|cmd/lab|fleet|nemesis|peer|driver/.*
# Packages of one goroutine and much arithmetic.
ALONE = plot|sim

test-race: ensure ## run the tests under the race detector, but for packages that mostly wait for programs, or have one goroutine
	all=$$(go list $(TAGS) ./...) && \
		go test -race $(TAGS) -p=2 -timeout=60m $(TESTFLAGS) $$(echo "$$all" | grep -vE '/harness/($(PROCESSES)|$(ALONE))$$')

test-pci: ensure ## bind and receive from an emulated machine's NICs: virtio-net, e1000e, vmxnet3 (1 minute; root)
	METRONOME_REQUIRE=$${METRONOME_REQUIRE:+$$METRONOME_REQUIRE,}pci go test $(TAGS) -count=1 -timeout=60m -v -run TestPCI ./harness/pcivm

model: ensure ## check the model of the default orderer, state by state, and that its mutations are found (FULL=yes: more)
	system/order/model/check.sh $(if $(FULL),full)

# Go's fuzzer may end with "context deadline exceeded" when its time is up: no input failed then.
fuzz: ensure ## fuzz every target for FUZZTIME=10s
	@mkdir -p bin
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' system harness internal | sort | \
	while IFS=: read -r file func; do \
		set -- go test $(TAGS) -run='^$$' -fuzz="^$${func#func }\$$" -fuzztime=$(FUZZTIME) "./$${file%/*}"; \
		echo "$$@"; "$$@" >bin/fuzz.log 2>&1; status=$$?; cat bin/fuzz.log; \
		if [ $$status != 0 ] && ! { grep -q 'context deadline exceeded' bin/fuzz.log && \
			! grep -q 'Failing input' bin/fuzz.log; }; then exit 1; fi; \
	done

bench: ensure ## run the Go benchmarks
	go test $(TAGS) -run='^$$' -bench=. -benchmem $(TESTFLAGS) ./...

fmt: ## format the Go code
	gofmt -l -w $(GOFILES)

vet: ensure
	go vet $(TAGS) ./...

lint: ensure $(GOLANGCI) ## run the linters; the first time builds them, pinned, into bin/tools
	$(GOLANGCI) run $(subst -tags,--build-tags,$(TAGS)) ./...
	go test $(TESTFLAGS) ./internal/lint

$(GOLANGCI):
	GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/tools/golangci-lint $@

figures-diff: figures
	git diff --exit-code --stat figures/

check: fmt vet lint test figures-diff ## everything to pass before a commit

setup: ## prepare this machine (Debian; root or sudo); EXTRA=yes: also for what few experiments and tests use
	EXTRA=$(EXTRA) ansible/host.sh setup

ensure:
ifneq ($(SETUP),no)
	@ansible/host.sh $(if $(DRY),plan,ensure)
endif

restore-host: ## undo what setup changed; PACKAGES=remove removes its packages too
	PACKAGES=$(PACKAGES) ansible/host.sh restore

doctor: build ## say what this machine can and cannot measure
	bin/lab doctor

clean: ## remove what was built; results stay
	rm -rf bin

.PHONY: need-name
need-name:
	@test -n "$(NAME)" || { echo "NAME is missing. Next: make experiment NAME=… with one of:"; \
		for f in experiments/*/experiment.yaml; do d=$${f%/*}; echo "  $${d##*/}"; done; exit 2; }
