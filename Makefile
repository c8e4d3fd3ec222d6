# What a person types. Every target builds the whole workspace with the same flags, so that one target/ serves them all.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help demo test lint deploy-lint deploy-check dns-proof dns-check fuzz bench prepare build sql

help: ## Shows this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

prepare: ## Installs what is missing on a fresh Debian machine with Rust (Postgres, the tests' Python packages)
	@tests/prepare.sh postgres

build: ## Builds everything
	$(CARGO) build --workspace --all-targets

demo: prepare ## Starts the whole of Ekiden on this machine and shows it at work (ONCE=1: ends by itself, fails if a step failed)
	@echo "Building; the first time this takes some minutes."
	$(CARGO) build --workspace --all-targets
	@exec target/debug/ekiden-demo $(if $(ONCE),--once)

test: prepare ## Runs everything that must pass
	@tests/prepare.sh python
	$(CARGO) build --workspace --all-targets
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --workspace
else
	$(CARGO) test --workspace
endif

lint: ## Checks format, lints, the contracts' style and the project's own rules
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	@tests/rules.sh
	$(CARGO) clippy --workspace --all-targets -- -D warnings

deploy-lint: ## Checks the rest of deploy/: CloudFormation against moto, checkov, dashboards, alarms, compose file, images, cost page
	@tests/prepare.sh python
	@deploy/lint.sh

deploy-check: ## Checks deploy/terraform, and applies and destroys its examples against moto, where Terraform is at hand
	@tests/prepare.sh python
	@deploy/terraform/check.sh

dns-proof: prepare ## Lets relays come, go and die in network namespaces, counts what workloads notice, writes docs/dns.md (as root; ten minutes)
	@tests/prepare.sh namespaces
	$(CARGO) build --workspace --all-targets
	@target/debug/ekiden-dns-proof --write docs/dns.md

dns-check: prepare ## Plays a short part of dns-proof, where namespaces can be made (as root; three minutes)
	@tests/prepare.sh namespaces
	$(CARGO) build --workspace --all-targets
	@target/debug/ekiden-dns-proof --short --act rolling --act kill --act no-collector || [ $$? -eq 77 ]

fuzz: ## Feeds the parsers what libFuzzer thinks of (EKIDEN_FUZZ_SECONDS: for how long each; 20)
	@tests/prepare.sh compiler
	@fuzz/run

bench: ## Measures Ekiden beside its peers on this machine (installs them; takes a quarter of an hour)
	@tests/prepare.sh postgres python peers
	$(CARGO) build --release --workspace
	@exec target/release/ekiden-bench

sql: prepare ## Writes .sqlx/ anew from migrations/ and the queries in control-plane/src/store/
	@tests/prepare.sh sql
