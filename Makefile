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
DENY   := 0.20.2
KUBERNETES := v1.34.4
# Static binaries for an image without anything else in it; only for --target, so that build scripts stay dynamic.
STATIC := CARGO_TARGET_$(shell echo $(TARGET) | tr a-z- A-Z_)_RUSTFLAGS="-C target-feature=+crt-static"
TESTBED := cargo run -q -p etcd-backup-testbed --
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock rust-toolchain.toml
GO_SOURCES := $(wildcard tests/cluster/*.go tests/cluster/*/*.go) tests/cluster/go.mod tests/cluster/go.sum

.PHONY: help demo demo-down test e2e measure check generate image tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: target/.apt-bed $(TOOLS)/kube target/image.tar ## from nothing to a proven backup in a real cluster that stays up (root)
	cargo run -q -p etcd-backup-e2e --bin demo

demo-down: ## end the demo's cluster
	$(TESTBED) down --name demo

test: target/.apt-build $(TOOLS)/kube ## unit and integration tests, against a real etcd and kube-apiserver (no root needed)
	cargo test --workspace

e2e: target/.apt-bed $(TOOLS)/kube target/image.tar ## the whole product in a real cluster (root); ARGS="name" runs only what matches
	cargo run -q -p etcd-backup-e2e --bin e2e -- $(ARGS)

measure: ## figures that need no cluster
	cargo run -q --release -p etcd-backup-core --example plan_figures | tee -a target/measured.txt

check: target/.apt-build target/deny/bin/cargo-deny ## format, lints, licences and bans, generated files, links in the documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	target/deny/bin/cargo-deny --log-level error check bans licenses sources
	$(MAKE) --no-print-directory generate
	git diff --exit-code -- config/crd docs/api.md || { echo "generated files differ: commit what 'make generate' wrote" >&2; exit 1; }
	cd tests/cluster && test -z "$$(gofmt -l .)" || { echo "run gofmt in tests/cluster" >&2; exit 1; }
	cargo test -q -p etcd-backup-e2e --test links

generate: target/.apt-build ## write the CRDs and their documentation from the Rust types
	cargo run -q -p etcd-backup-api --example crds -- config/crd docs/api.md

image: target/image.tar ## the container image as a docker-archive: target/image.tar

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

# etcd's own command-line clients, of the same version, as programs of their own: to measure against and to compare with.
$(TOOLS)/go/etcdctl $(TOOLS)/go/etcdutl: tests/cluster/go.mod tests/cluster/go.sum
	@command -v go >/dev/null || { echo "go is missing: install Go 1.24 or later (https://go.dev/dl)" >&2; exit 1; }
	cd tests/cluster && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../../$@ go.etcd.io/etcd/$(@F)/v3

# Its own release profile takes minutes to make a check of seconds faster.
target/deny/bin/cargo-deny:
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	  cargo install -q cargo-deny --locked --version $(DENY) --root target/deny

# Debian's packages. A target is only made when its commands are there, whoever installed them.
target/.apt-build: WANT = protoc:protobuf-compiler /usr/include/google/protobuf/descriptor.proto:libprotobuf-dev cc:gcc cmake:cmake openssl:openssl
target/.apt-bed:   WANT = containerd:containerd runc:runc iptables:iptables ip:iproute2 nsenter:util-linux sysctl:procps pgrep:procps mkfs.ext4:e2fsprogs /usr/lib/cni/bridge:containernetworking-plugins
target/.apt-build target/.apt-bed:
	@mkdir -p target; missing=; \
	for pair in $(WANT); do command -v "$${pair%%:*}" >/dev/null || [ -e "$${pair%%:*}" ] || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    { apt-get -q update && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $$missing; } >target/apt.log 2>&1 </dev/null || { tail -5 target/apt.log >&2; exit 1; }; \
	  else echo "missing:$$missing (on Debian as root this is installed by itself; elsewhere install the packages of these names)" >&2; exit 1; fi; \
	fi; touch $@
target/.apt-bed: target/.apt-build
