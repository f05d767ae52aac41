# `make demo` and `make test` do all their set-up themselves; see `make help`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# tests share the machine's cores; hypothesis and the real servers are what takes the time
JOBS ?= auto
# what the image is called, and a command that brings it to a cluster's nodes (or `podman push`)
IMAGE ?= localhost/ttscache:dev
LOAD ?= true

.PHONY: help demo test consumers charts image test-cluster check soak bench format clean
.DEFAULT_GOAL := help

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: pyproject.toml
	@deploy/setup/venv.sh "$(PYTHON)" "$(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[uvloop]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[redis,kubernetes]' --group test --group check
	@touch $@

$(VENV)/.tools: $(VENV)/.dev deploy/charts/fetch_helm.py
	@$(BIN)/python deploy/charts/fetch_helm.py $(VENV)/tools
	@touch $@

demo: $(VENV)/.runtime ## a token in, a proxy out, on loopback (KEEP=1 leaves it running)
	@deploy/setup/packages.sh openssl
	@KEEP="$(KEEP)" PATH="$(CURDIR)/$(BIN):$$PATH" deploy/demo/demo.sh

test: $(VENV)/.tools ## every test, with the real grid software
	@deploy/setup/packages.sh all
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

consumers: $(VENV)/.dev ## ask every consumer about every credential: docs/consumers.md
	@deploy/setup/packages.sh all
	@$(BIN)/python -m tests.acceptance.table

charts: $(VENV)/.tools ## the charts' READMEs and schemas, plain manifests, packages and repository index in dist/charts
	@$(BIN)/python deploy/charts/generate.py
	@$(BIN)/python deploy/charts/plain.py --helm $(VENV)/tools/helm3/helm
	@$(BIN)/python deploy/charts/package.py dist/charts --helm $(VENV)/tools/helm3/helm

image: ## the container image, by podman or docker (IMAGE=registry.example/ttscache:1)
	@deploy/image/build.sh $(IMAGE)

test-cluster: $(VENV)/.tools image ## a site of real pods on the cluster of KUBECONFIG: docs/cluster-tests.md
	@$(LOAD) $(IMAGE)
	@TTSCACHE_CLUSTER=1 TTSCACHE_IMAGE=$(IMAGE) $(BIN)/pytest tests/cluster $(ARGS)

check: $(VENV)/.dev ## lint, format, types, import arrows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

soak: $(VENV)/.dev ## two replicas under load and random faults, ten minutes (ARGS='--minutes 2 --seed 7')
	@deploy/setup/packages.sh redis-server setpriv
	@$(BIN)/python -m tests.soak $(ARGS)

bench: $(VENV)/.dev ## ratios against bare baselines and other makers, measured in one run
	@deploy/setup/packages.sh openssl curl grid-proxy-info voms-proxy-info myproxy-server myproxy-logon redis-server setpriv
	@$(BIN)/python -m benchmarks $(ARGS)

format: $(VENV)/.dev ## mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the virtual environment and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
