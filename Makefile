# multinet: `make demo` shows the main job, `make test` runs every test; each does its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Debian builds its own Python with profile-guided optimisation; others may be a fifth slower.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11) python3)
VENV := .venv
BIN := $(VENV)/bin
SHIM := build/multinet-shim
SOURCES := multinet tests
TESTS ?= tests
# Tests wait as much as they work: for duplicate detection, for leases, for one another's processes.
WORKERS ?= $(shell expr 2 \* $$(nproc))

.PHONY: help setup packages shim demo test test-vm check format bench image manifests lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: packages $(VENV)/.complete $(SHIM) ## Debian packages, virtual environment with locked dependencies, the compiled shim

packages:
	@tools/debian-packages

$(VENV)/.complete: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(SHIM): $(VENV)/.complete multinet/shim/shim.c multinet/shim/build.py multinet/wire/message.py
	@mkdir -p $(@D)
	$(BIN)/python -m multinet.shim.build $@

shim: $(SHIM)

demo: setup ## Three pods get their interfaces, through the installed shim, in throw-away namespaces
	$(BIN)/multinet demo

check: setup ## Style, types, layers
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check ## Everything: checks, then all tests; what this kernel lacks in a virtual machine (needs root)
	$(BIN)/python -m tests.vm both --workers $(WORKERS) $(TESTS)

test-vm: setup ## Only the tests of what this kernel lacks, in the virtual machine: TESTS="tests/delegates -k vlan"
	$(BIN)/python -m tests.vm guest $(TESTS)

format: setup ## Put the sources into shape
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: setup ## Latency, throughput and memory against `ip -batch` and the Go plugins (takes minutes)
	@mkdir -p build
	$(BIN)/multinet bench --json build/bench.json --chart build/bench.svg

image: setup ## The container image, as build/multinet.tar (ARCH=amd64,arm64 for both)
	deploy/image/build $(if $(ARCH),--arch $(ARCH)) build/multinet.tar

manifests: setup ## Render deploy/ out of the Helm chart
	tools/manifests

lock: ## Resolve the dependencies anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras --no-annotate \
	    --no-header --output-file requirements.lock pyproject.toml tools/build.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra certificates --extra firewalld --no-annotate \
	    --no-header --constraint requirements.lock --output-file deploy/image/requirements.lock pyproject.toml

clean: ## Remove what was built and installed here
	rm -rf $(VENV) build dist .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
