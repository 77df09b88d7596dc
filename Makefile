# Everything a developer runs. `make help` lists it. Each target sets up what it needs: on Debian as root by itself, elsewhere it says what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ARCH   := $(shell uname -m)
TARGET := $(ARCH)-unknown-linux-gnu
OUT    := target/$(TARGET)/release
TOOLS  := target/tools
IMAGE  := localhost/etcd-backup:dev
CHART  := charts/etcd-backup-operator
DENY   := 0.20.2
CARGO_FUZZ := 0.13.2
# Tools that cargo builds, for all clones, as Go keeps what it has built.
CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/etcd-backup-operator
CARGO_DENY_BIN := $(CACHE)/cargo-deny-$(DENY)/bin/cargo-deny
CARGO_FUZZ_BIN := $(CACHE)/cargo-fuzz-$(CARGO_FUZZ)/bin/cargo-fuzz
KUBERNETES := v1.34.4
# The four versions of etcd that backups are taken of; there is no etcdutl 3.4.
ETCD   := $(addprefix $(TOOLS)/,go/etcd go/etcdutl etcd-3.4/etcd etcd-3.5/etcd etcd-3.5/etcdutl etcd-3.7/etcd etcd-3.7/etcdutl)
# The release profile without what takes minutes and makes a program of seconds a little faster.
QUICK := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
# Static binaries for an image without anything else in it; only for --target, so that build scripts stay dynamic.
STATIC := CARGO_TARGET_$(shell echo $(TARGET) | tr a-z- A-Z_)_RUSTFLAGS="-C target-feature=+crt-static"
TESTBED := cargo run -q -p etcd-backup-testbed --
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock rust-toolchain.toml
GO_SOURCES := $(wildcard tests/cluster/*.go tests/cluster/pause/*.go) tests/cluster/go.mod tests/cluster/go.sum

.PHONY: help demo demo-down test e2e restore faults measure bench scale soak differential fuzz fuzz-build fuzz-corpus check generate image plugin man tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: target/.apt-bed $(TOOLS)/kube target/image.tar ## from nothing to a proven backup in a real cluster that stays up (root)
	cargo run -q -p etcd-backup-e2e --bin demo

demo-down: ## end the demo's cluster
	$(TESTBED) down --name demo

test: target/.apt-build $(TOOLS)/kube $(TOOLS)/promtool $(TOOLS)/olm-validate $(TOOLS)/kube-score $(TOOLS)/helm ## unit and integration tests, against a real etcd and kube-apiserver (no root needed)
	cargo test --workspace
	$(QUICK) cargo test --release -p etcd-backup-snapshot
	cd tests/cluster/gitops && CGO_ENABLED=0 go test -trimpath -count=1 ./...

e2e: target/.apt-bed $(TOOLS)/kube $(TOOLS)/prometheus $(TOOLS)/gitops $(TOOLS)/helm target/image.tar ## the whole product in a real cluster (root); ARGS="name" runs only what matches
	cargo build -q -p etcd-backup-cli
	cargo run -q -p etcd-backup-e2e --bin e2e -- $(ARGS)

restore: target/.apt-bed $(TOOLS)/kube target/image.tar ## docs/restore/kubeadm.md, carried out on three nodes: one member lost, then everything (root; part of make e2e)
	cargo run -q -p etcd-backup-e2e --bin e2e -- member-lost restore

faults: target/.apt-faults $(TOOLS)/kube ## real faults in the middle of real backups, and what came of them, in a table (root); ARGS="disk-slow" causes only that
	cargo build -q -p etcd-backup-agent -p etcd-backup-e2e --bin etcd-backup --bin faults
	unshare --mount --propagation private target/debug/faults $(ARGS)

measure: ## figures that need no cluster
	$(QUICK) cargo run -q --release -p etcd-backup-core --example plan_figures | tee -a target/measured.txt

# 4gb takes 10 GB of disk. SERVERS may name other versions too, such as target/tools/etcd-3.5/etcd.
SIZES   ?= 10mb 100mb 1gb
ROUNDS  ?= 5
SERVERS ?= $(TOOLS)/go/etcd
bench: target/.apt-build $(SERVERS) $(TOOLS)/go/etcdctl $(TOOLS)/go/etcdutl $(OUT)/etcd-backup ## save and verify against etcd's own tools, in turn; SIZES="10mb" ROUNDS=1 for a quick look
	cargo run -q -p etcd-backup-bench -- run --sizes "$(SIZES)" --rounds $(ROUNDS) --etcd "$(SERVERS)" --agent $(OUT)/etcd-backup --tools $(TOOLS)/go

# How many Backups and EtcdBackups, and minutes at rest.
BACKUPS ?= 200
RECORDS ?= 5000
scale: MINUTES ?= 5
scale: target/.apt-build $(TOOLS)/kube $(OUT)/etcd-backup-operator ## the operator with 200 Backups and 5,000 EtcdBackups on a real API server: memory, requests, time; BACKUPS=20 RECORDS=500 MINUTES=1
	cargo build -q -p etcd-backup-e2e --bin scale
	BACKUPS=$(BACKUPS) RECORDS=$(RECORDS) MINUTES=$(MINUTES) target/debug/scale

soak: MINUTES ?= 60
soak: target/.apt-bed $(TOOLS)/kube target/image.tar ## schedules that fire every minute, for an hour: what grows, and what is left behind (root); MINUTES=10
	cargo build -q -p etcd-backup-e2e --bin soak
	target/debug/soak $(MINUTES)

differential: target/.apt-build $(TOOLS)/kube $(ETCD) ## what etcdutl and etcd 3.4 to 3.7 refuse, we refuse; what we accept, they restore and boot; DIFFERENTIAL_SEED=1
	cargo run -q -p etcd-backup-differential

# CPU seconds for each target, and which targets.
FUZZ_SECONDS ?= 1800
FUZZ_TARGET  ?= page verify manifest report schedule
fuzz: fuzz-build ## search for inputs that break a promise, half an hour of CPU time for each target; FUZZ_TARGET=verify FUZZ_SECONDS=60
	nice -n 19 cargo run -q -p etcd-backup-fuzz --example campaign -- --bin $(FUZZ_BIN) --seconds $(FUZZ_SECONDS) $(FUZZ_TARGET)

fuzz-corpus: fuzz-build ## add to fuzz/corpus, which `make test` replays, inputs that the runs of `make fuzz` have found: the 100 that cover most
	for target in $(FUZZ_TARGET); do \
	  $(FUZZ_BIN)/$$target -use_counters=0 -set_cover_merge=1 target/fuzz/saved/$$target target/fuzz/corpus/$$target; \
	  find target/fuzz/saved/$$target -newer target/fuzz/saved/.unpacked -type f -printf '%T@ %p\n' | sort -n | head -100 | cut -d' ' -f2 | xargs -r cp -t fuzz/corpus/$$target; \
	done
	find fuzz/corpus -type f -size +4k ! -name '*.gz' -exec gzip -9n {} +

check: target/.apt-build $(CARGO_DENY_BIN) ## format, lints, licences and bans, generated files, links in the documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(CARGO_DENY_BIN) --log-level error check bans licenses sources
	$(MAKE) --no-print-directory generate
	git diff --exit-code -- config/crd docs/api.md docs/configuration.md deploy charts && test -z "$$(git ls-files --others --exclude-standard -- deploy charts)" || { echo "generated files differ: commit what 'make generate' wrote" >&2; exit 1; }
	cd tests/cluster && test -z "$$(gofmt -l .)" || { echo "run gofmt in tests/cluster" >&2; exit 1; }
	cargo test -q -p etcd-backup-e2e --test links

generate: target/.apt-build $(TOOLS)/kube ## write what is made from others: the CRDs and their documentation from the Rust types, deploy/ and the chart's copies from config/
	cargo run -q -p etcd-backup-api --example crds -- config/crd docs/api.md
	cargo run -q -p etcd-backup-operator --example configuration -- docs/configuration.md
	for platform in kubernetes openshift; do \
	  { echo '# Generated by `make generate` from config/overlays; do not edit. kubectl apply --server-side -f '$$platform.yaml; \
	    $(TOOLS)/kubectl kustomize config/overlays/$$platform; } >deploy/$$platform.yaml; \
	done
	$(TOOLS)/kubectl kustomize config/olm >target/olm.yaml
	cargo run -q -p etcd-backup-packaging -- target/olm.yaml deploy/olm
	rm -rf $(CHART)/files && mkdir $(CHART)/files
	cd config && find admission backup-namespace crd monitoring operator overlays/kubernetes overlays/openshift rbac -type f \
	  ! -name kustomization.yaml ! -name namespace.yaml ! -name deployment.yaml -exec cp --parents -t $(CURDIR)/$(CHART)/files {} +
	cargo run -q -p etcd-backup-packaging-tests --example chart-readme -- $(CHART)

image: target/image.tar ## the container image as a docker-archive: target/image.tar

plugin: target/.apt-build ## `kubectl etcd-backup` as a static program, and its archive for Krew: target/plugin
	$(STATIC) cargo build --release --target $(TARGET) -p etcd-backup-cli
	mkdir -p target/plugin && cp $(OUT)/kubectl-etcd_backup LICENSE target/plugin/
	tar -C target/plugin -czf target/plugin/kubectl-etcd_backup-linux-$(subst aarch64,arm64,$(subst x86_64,amd64,$(ARCH))).tar.gz kubectl-etcd_backup LICENSE

man: target/.apt-build ## the manual pages of agent, operator and plugin: target/man
	cargo run -q -p etcd-backup-packaging --example man -- target/man

tools: $(TOOLS)/kube ## the real etcd, kube-apiserver, kubelet and so on for the tests, from their Go modules

clean: ## remove what was built (a running demo first: make demo-down)
	rm -rf --one-file-system target

# --- what the targets above need -------------------------------------------------------------------------------------------------------

target/image.tar: $(OUT)/etcd-backup $(OUT)/etcd-backup-operator $(wildcard tests/testbed/src/*.rs)
	$(TESTBED) image --tag $(IMAGE) --out $@ --entrypoint /etcd-backup-operator --user 65532:65532 \
	  --file $(OUT)/etcd-backup=/etcd-backup --file $(OUT)/etcd-backup-operator=/etcd-backup-operator
	@echo "measured image image_mb=$$(( ($$(stat -c %s $@) + 999999) / 1000000 ))" | tee -a target/measured.txt

$(OUT)/etcd-backup $(OUT)/etcd-backup-operator &: target/.apt-build $(RUST_SOURCES)
	$(STATIC) cargo build --release --target $(TARGET) -p etcd-backup-agent -p etcd-backup-operator
	touch $(OUT)/etcd-backup $(OUT)/etcd-backup-operator

# One static binary with the real etcd, kube-apiserver, kubelet and so on: for tests only, never shipped. About 8 minutes on two cores the first time.
$(TOOLS)/kube: $(GO_SOURCES)
	@command -v go >/dev/null || { echo "go is missing: install Go 1.24 or later (https://go.dev/dl)" >&2; exit 1; }
	mkdir -p $(TOOLS)
	cd tests/cluster && V=k8s.io/component-base/version && CGO_ENABLED=0 go build -trimpath \
	  -ldflags "-s -w -X $$V.gitVersion=$(KUBERNETES) -X $$V.gitMajor=1 -X $$V.gitMinor=$(word 2,$(subst ., ,$(KUBERNETES)))" -o ../../$@ .
	cd tests/cluster && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../../$(TOOLS)/pause ./pause
	cd $(TOOLS) && for name in etcd etcdctl etcdutl kube-apiserver kubectl; do ln -sf kube $$name; done

# etcd alone, of the version in the file above and of the others that are in use: to compare with and to measure against.
GO_BUILD = command -v go >/dev/null || { echo "go is missing: install Go 1.24 or later (https://go.dev/dl)" >&2; exit 1; }; \
	cd $(<D) && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(CURDIR)/$@
$(addprefix $(TOOLS)/go/,etcd etcdctl etcdutl): tests/cluster/go.mod tests/cluster/go.sum
	$(GO_BUILD) go.etcd.io/etcd/$(patsubst etcd,server,$(@F))/v3
$(TOOLS)/etcd-3.4/etcd: tests/cluster/etcd-3.4/go.mod tests/cluster/etcd-3.4/go.sum
	$(GO_BUILD) go.etcd.io/etcd
$(TOOLS)/etcd-%/etcd: tests/cluster/etcd-%/go.mod tests/cluster/etcd-%/go.sum
	$(GO_BUILD) go.etcd.io/etcd/server/v3
$(TOOLS)/etcd-%/etcdutl: tests/cluster/etcd-%/go.mod tests/cluster/etcd-%/go.sum
	$(GO_BUILD) go.etcd.io/etcd/etcdutl/v3

# What judges the packages.
$(TOOLS)/olm-validate: tests/cluster/olm/main.go tests/cluster/olm/go.mod tests/cluster/olm/go.sum
	$(GO_BUILD) .
$(TOOLS)/kube-score: tests/cluster/kube-score/go.mod tests/cluster/kube-score/go.sum
	$(GO_BUILD) github.com/zegl/kube-score/cmd/kube-score
$(TOOLS)/helm: tests/cluster/helm/go.mod tests/cluster/helm/go.sum
	$(GO_BUILD) helm.sh/helm/v3/cmd/helm

# What Argo CD and Flux make of an object, by the engines they use.
$(TOOLS)/gitops: $(wildcard tests/cluster/gitops/*.go) tests/cluster/gitops/go.mod tests/cluster/gitops/go.sum
	$(GO_BUILD) .

# promtool and prometheus: those in the PATH, else of Debian's package, without installing it and with it a service.
$(TOOLS)/promtool $(TOOLS)/prometheus &:
	@mkdir -p $(TOOLS) target/prometheus
	@if command -v promtool >/dev/null && command -v prometheus >/dev/null; then \
	  for name in promtool prometheus; do ln -sf "$$(command -v $$name)" $(TOOLS)/$$name; done; \
	elif command -v apt-get >/dev/null; then cd target/prometheus && { apt-get -q download prometheus || { apt-get -q update && apt-get -q download prometheus; }; } >log 2>&1 </dev/null \
	  && dpkg -x prometheus_*.deb . && mv usr/bin/promtool usr/bin/prometheus $(CURDIR)/$(TOOLS)/ || { tail -5 log >&2; exit 1; }; \
	else echo "promtool and prometheus are missing: install Prometheus (https://prometheus.io/download) into the PATH" >&2; exit 1; fi
	rm -rf target/prometheus
	touch -h $(TOOLS)/promtool $(TOOLS)/prometheus

$(CARGO_DENY_BIN):
	$(QUICK) CARGO_PROFILE_RELEASE_OPT_LEVEL=1 cargo install -q cargo-deny --locked --version $(DENY) --root $(CACHE)/cargo-deny-$(DENY)

$(CARGO_FUZZ_BIN):
	cargo install -q cargo-fuzz --locked --version $(CARGO_FUZZ) --root $(CACHE)/cargo-fuzz-$(CARGO_FUZZ)

# Its own target folder and profile: the targets are compiled anew by nightly, with coverage instrumentation. No sanitizer: there is no unsafe
# code here, and without one a target runs several times as often.
FUZZ_BIN := target/fuzz/$(TARGET)/release
fuzz-build: target/.apt-build target/.apt-fuzz $(CARGO_FUZZ_BIN)
	@cargo +nightly --version >/dev/null 2>&1 || { echo "Rust's nightly toolchain is missing: rustup toolchain install nightly --profile minimal" >&2; exit 1; }
	PATH="$(dir $(CARGO_FUZZ_BIN)):$$PATH" $(QUICK) CARGO_PROFILE_RELEASE_STRIP=none \
	  nice cargo +nightly fuzz build --fuzz-dir fuzz --target-dir target/fuzz --target $(TARGET) --features libfuzzer --sanitizer none
	rm -rf target/fuzz/saved && cp -r fuzz/corpus target/fuzz/saved && find target/fuzz/saved -name '*.gz' -exec gunzip {} + && touch target/fuzz/saved/.unpacked

# Debian's packages. A target is only made when its commands are there, whoever installed them.
target/.apt-build: WANT = protoc:protobuf-compiler /usr/include/google/protobuf/descriptor.proto:libprotobuf-dev cc:gcc cmake:cmake openssl:openssl
target/.apt-bed:   WANT = containerd:containerd runc:runc iptables:iptables ip:iproute2 nsenter:util-linux sysctl:procps pgrep:procps mkfs.ext4:e2fsprogs /usr/lib/cni/bridge:containernetworking-plugins
target/.apt-fuzz:  WANT = c++:g++
target/.apt-faults: WANT = mkfs.ext4:e2fsprogs mkfs.btrfs:btrfs-progs faketime:faketime unshare:util-linux
target/.apt-build target/.apt-bed target/.apt-fuzz target/.apt-faults:
	@mkdir -p target; missing=; \
	for pair in $(WANT); do command -v "$${pair%%:*}" >/dev/null || [ -e "$${pair%%:*}" ] || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    { apt-get -q update && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $$missing; } >target/apt.log 2>&1 </dev/null || { tail -5 target/apt.log >&2; exit 1; }; \
	  else echo "missing:$$missing (on Debian as root this is installed by itself; elsewhere install the packages of these names)" >&2; exit 1; fi; \
	fi; touch $@
target/.apt-bed target/.apt-faults: target/.apt-build
