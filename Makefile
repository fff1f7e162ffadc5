# Every target sets up what it needs by itself, once, in ~/.cache/headrace; nothing is written into the clone.
# `make test PYTHON=/path/to/python` uses an environment of your own.
SHELL := /bin/sh
.DEFAULT_GOAL := help

export PYTHONPATH := operator:.
export PYTHONDONTWRITEBYTECODE := 1
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/headrace
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis

# Made on first use only, so that `make help` is quick.
PYTHON = $(eval PYTHON := $$(shell testbed/bootstrap.sh))$(or $(PYTHON),$(error there is no Python environment, see above))
PYTEST = $(PYTHON) -m pytest -o cache_dir=$(CACHE)/pytest
# Three processes keep two cores busy: most of a test is waiting for a server.
SIDE_BY_SIDE = --numprocesses=$(or $(PROCESSES),3) --dist=loadscope
# Tests begin with a new cluster (it takes 6 s) and stop it when they end, however they end.
# HEADRACE_KEEP_TESTBED=1 takes the one that runs, and leaves it running.
DOWN = [ "$$HEADRACE_KEEP_TESTBED" = 1 ] || $(PYTHON) -m testbed down
WITH_CLUSTER = $(DOWN); trap '$(DOWN)' EXIT; trap 'exit 130' INT TERM;
CRDS = crds charts/headrace/files/crds
LOCK = $(PYTHON) -m piptools compile --quiet --generate-hashes --no-header --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

##@ See it work
.PHONY: demo
demo: ## stream EVENTS (20000) flights through a HybridPipeline on a real cluster; ends with a ledger
	@$(PYTHON) -m demo

.PHONY: demo-down
demo-down: ## remove the demo and its cluster, leaving nothing but the cache
	@$(PYTHON) -m demo down

##@ Check it
.PHONY: test
test: ## all tests: unit, contract, integration, e2e; in PROCESSES (3) side by side
	@$(PYTHON) -m testbed prepare cluster
	@$(WITH_CLUSTER) $(PYTEST) $(SIDE_BY_SIDE)

.PHONY: test-unit
test-unit: ## pure layers, the chart, the alerts; no server
	@$(PYTHON) -m testbed prepare tools
	@$(PYTEST) tests/unit

.PHONY: test-contract
test-contract: ## CRDs and their rules on a real API server
	@$(PYTHON) -m testbed prepare cluster
	@$(WITH_CLUSTER) $(PYTEST) tests/contract

.PHONY: test-integration
test-integration: ## parts against real Valkey, real Pulsar and the real cluster
	@$(PYTHON) -m testbed prepare cluster
	@$(WITH_CLUSTER) $(PYTEST) tests/integration

.PHONY: test-e2e
test-e2e: ## the chart on a real cluster, pods and brokers included
	@$(PYTHON) -m testbed prepare cluster
	@$(WITH_CLUSTER) $(PYTEST) tests/e2e

.PHONY: bench-bridge
bench-bridge: ## the bridge against the ceiling of its libraries, 10 minutes; BENCH=--quick or --thorough
	@$(PYTHON) -m testbed prepare pulsar
	@$(PYTHON) -m tests.bench.bridge $(BENCH)

.PHONY: bench-celery
bench-celery: ## Celery's workers against its stock transport and its in-memory one, 8 minutes; BENCH=--quick or --thorough
	@$(PYTHON) -m tests.bench.workers $(BENCH)

.PHONY: test-kombu
test-kombu: ## kombu's and Celery's own tests of Redis, run on our transport and results; SUITE=kombu-unit and alike
	@$(PYTHON) -m tests.upstream $(SUITE)

# SEED, FIRST, KILLS and SCENARIO repeat one run that was printed (of the nightly form: the nightly target).
CRASHES = $(if $(SEED),--seed $(SEED)) $(if $(FIRST),--first $(FIRST)) $(if $(KILLS),--kills $(KILLS)) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(FAULTS),--faults '$(FAULTS)')
.PHONY: crash-test
crash-test: ## kill, freeze and cut off bridge and brokers KILLS (30) times while messages flow; count what was lost or doubled
	@$(PYTHON) -m testbed prepare pulsar
	@$(PYTHON) -m tests.faults $(CRASHES)

.PHONY: crash-test-nightly
crash-test-nightly: ## the same 200 times or more: each fault at each step, Pulsar killed too, long outages
	@$(PYTHON) -m testbed prepare pulsar
	@$(PYTHON) -m tests.faults --nightly $(CRASHES)

.PHONY: check
check: verify ## linters, types, layers, sizes, generated files
	@$(PYTHON) -m ruff check --no-cache .
	@$(PYTHON) -m ruff format --no-cache --check .
	@$(PYTHON) -m mypy --cache-dir=$(CACHE)/mypy operator/headrace testbed demo tests
	@$(PYTHON) -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-cache
	@! test -e operator/__init__.py || { echo "operator/__init__.py would hide Python's own module operator"; exit 1; }
	@find operator testbed demo -name '*.py' -exec awk \
		'FNR == 451 { print FILENAME ": more than 450 lines, cut it"; long = 1 } END { exit long }' {} +

.PHONY: verify
verify: ## fail when crds/, the chart's copy or docs/permissions.md differ from what they are made of
	@fresh=$$(mktemp -d) && trap 'rm -r "$$fresh"' EXIT && $(PYTHON) -m headrace.cli crds --output "$$fresh" >/dev/null && \
		for folder in $(CRDS); do diff -ru "$$fresh" $$folder || { echo "$$folder is stale: run make crds"; exit 1; }; done

	@$(PYTHON) -m tests.permissions page --check

##@ Change it
.PHONY: permissions
permissions: ## write docs/permissions.md from runs of all modes, 15 minutes; MODES='pulsar-to-list …' for some
	@$(PYTHON) -m testbed prepare pulsar
	@$(PYTHON) -m tests.permissions record $(MODES)

.PHONY: permissions-page
permissions-page: ## write docs/permissions.md from what was recorded
	@$(PYTHON) -m tests.permissions page

.PHONY: crds
crds: ## write crds/ and the chart's copy from the API models
	@$(PYTHON) -m headrace.cli crds $(foreach folder,$(CRDS),--output $(folder))

.PHONY: lock
lock: ## write requirements/*.txt from pyproject.toml and requirements/*.in
	@cd requirements && $(LOCK) --extra operator --extra worker --extra sqs --extra dev --output-file dev.txt ../pyproject.toml debian-12.in
	@cd requirements && $(LOCK) --extra operator --constraint dev.txt --output-file operator.txt ../pyproject.toml debian-12.in
	@cd requirements && $(LOCK) --extra worker --extra sqs --constraint dev.txt --output-file worker.txt ../pyproject.toml debian-12.in
	@cd requirements && $(LOCK) --output-file build.txt build.in
	@cd requirements && $(LOCK) --output-file go.txt go.in

.PHONY: images
images: ## build operator, worker, Valkey and Pulsar images
	@$(PYTHON) -m testbed images

##@ The test bed
.PHONY: testbed-up
testbed-up: ## start the cluster (nothing happens when it is up)
	@$(PYTHON) -m testbed up

.PHONY: testbed-status
testbed-status: ## what runs, and what is on this machine because of it
	@$(PYTHON) -m testbed status

.PHONY: testbed-down
testbed-down: ## stop the cluster and remove every trace outside the cache
	@$(PYTHON) -m testbed down

.PHONY: clean-testbed
clean-testbed: ## remove what a crashed run left: processes, network, cgroups, folders
	@$(PYTHON) -m testbed clean

##@ Help
.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
