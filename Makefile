# Every verb here is also a step of the automated run: nothing runs there that a laptop cannot run.
# `make` alone explains them. Work is done by scripts/ and cargo; this file only names it.

.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## show this list
	@printf '%s\n' \
	  'Palisade, a WAF-first security gateway.' '' \
	  'First steps:' \
	  '  make run     builds it and starts a sample application behind it: try to attack it' \
	  '  make test    everything a change must pass; ends in "N passed, N failed, N skipped"' '' \
	  'All verbs:'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '%s\n' '' 'Then read ARCHITECTURE.md (the life of a request) and CONTRIBUTING.md.'

.PHONY: run
run: ## start the sample application behind the gateway
	@scripts/run.sh

.PHONY: test
test: ## format, lints, all tests, docs, ten seconds of each fuzz target, dependency rules
	@scripts/test.sh

.PHONY: prerequisites
prerequisites: ## install (as root on Debian) or name what the build needs
	@scripts/prerequisites.sh

.PHONY: fmt
fmt: ## format the sources
	cargo fmt --all

.PHONY: lint
lint: ## clippy on everything, warnings denied
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p waf-rules --features fuzzing --all-targets -- -D warnings

.PHONY: doc
doc: ## the API documentation, warnings denied
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

.PHONY: deny
deny: ## licences, duplicate crates, sources, who may import pingora (needs cargo-deny)
	cargo deny --log-level error check bans licenses sources

.PHONY: advisories
advisories: ## known vulnerabilities of dependencies (needs cargo-deny and the network)
	cargo deny check advisories

.PHONY: fuzz-smoke
fuzz-smoke: ## ten seconds of each fuzz target
	fuzz/smoke.sh

.PHONY: conformance
conformance: ## the OWASP CRS regression suite through the live gateway (CRS_DIR, CRS_TESTS)
	cargo test -p palisade-tests --test crs -- --nocapture

.PHONY: h2spec
h2spec: ## the HTTP/2 conformance suite, strictly, without and over TLS (H2SPEC, or Go to fetch it)
	@scripts/h2spec.sh

.PHONY: differential
differential: ## every request of the corpora through libmodsecurity and our engine (ATTACK_CORPUS, LEGIT_CORPUS)
	DIFFERENTIAL_ALL=1 cargo test -p waf-rules --test differential -- --nocapture

.PHONY: plain
plain: ## every request of the corpora evaluated fast and plainly, which must agree (CRS_DIR, ATTACK_CORPUS, LEGIT_CORPUS)
	CONFORMANCE_ALL=1 cargo test -p waf-rules --lib conformance::crs -- --nocapture

.PHONY: bench
bench: ## requests a second against nginx and nginx + libmodsecurity, as ratios (needs wrk)
	@scripts/bench.sh

.PHONY: bench-waf
bench-waf: ## CPU a request costs the rule engine and its peers, in one run (CRS_DIR)
	@scripts/bench-waf.sh

.PHONY: bench-linear
bench-linear: ## is every cost linear: over the size of a body, over values made to be slow (RULES=FILE.conf)
	cargo run --release -p waf-rules --features fuzzing --example linear -- $(RULES)

.PHONY: bench-memory
bench-memory: ## resident size with one, two and two hundred sites that share rules (CRS_DIR)
	cargo build --release -p edge --bin palisade
	PALISADE_BIN=$${CARGO_TARGET_DIR:-target}/release/palisade \
	  cargo test -p palisade-tests --test soak -- --ignored --nocapture mebibyte

.PHONY: slow
slow: ## 2,000 slow clients in every way slowhttptest knows: does good traffic notice? (needs slowhttptest, h2load, nginx)
	@scripts/slow.sh

.PHONY: tls-judges
tls-judges: ## testssl.sh and sslyze against the default TLS policy (TESTSSL, SSLYZE)
	@scripts/tls-judges.sh

.PHONY: soak
soak: ## the slow proofs: 1 GiB upload, 2,000 slow clients, reloads under load, 1,000 reloads (RELOADS)
	cargo build --release -p edge --bin palisade
	ulimit -n 8192; PALISADE_BIN=$${CARGO_TARGET_DIR:-target}/release/palisade \
	  cargo test -p palisade-tests --test soak --test change -- --ignored --nocapture --test-threads=1 \
	  --skip mebibyte --skip twenty --skip one_big_file --skip an_upgrade

.PHONY: bench-change
bench-change: ## 20,000 hosts: time until a change is live, full reload, memory, cost of a lookup (HOSTS, CHANGES)
	cargo build --release -p edge --bin palisade
	PALISADE_BIN=$${CARGO_TARGET_DIR:-target}/release/palisade \
	  cargo test -p palisade-tests --test change -- --ignored --nocapture --test-threads=1 \
	  twenty_thousand one_big_file

.PHONY: soak-upgrade
soak-upgrade: ## binaries replaced under load: no request may fail (REQUESTS, UPGRADES)
	cargo build --release -p edge --bin palisade
	PALISADE_BIN=$${CARGO_TARGET_DIR:-target}/release/palisade \
	  cargo test -p palisade-tests --test change -- --ignored --nocapture an_upgrade

.PHONY: release
release: ## the binary that is shipped: target/dist/palisade
	@scripts/prerequisites.sh
	cargo build --profile dist -p edge --bin palisade
