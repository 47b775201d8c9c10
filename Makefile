.DEFAULT_GOAL := help
BIN := .venv/bin
PYTEST := $(BIN)/pytest
# Twice as many as there are cores: half of their time tests wait.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 2)))
BENCH ?=

.PHONY: help
help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@python=$$(.ci/find-python) && echo "making .venv with $$python" && "$$python" -m venv .venv
	@$@ -m pip install --quiet --upgrade 'pip>=25.1'

.venv/cronq: pyproject.toml | $(BIN)/python
	@$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/development: .venv/cronq
	@$(BIN)/pip install --quiet --group dev --group bench
	@touch $@

# As an installation has them: without, each of the hundreds of starts that a test run or a
# benchmark makes compiles the package again where Python is told to write no bytecode.
.PHONY: compiled
compiled: setup
	@$(BIN)/python -m compileall -q cronq

.PHONY: setup
setup: .venv/development  ## .venv with cronq and all tools; as root on Debian also what the tests use
	@.ci/install-debian-packages
	@.ci/unpack-debian-packages
	@.ci/unpack-mysql

.PHONY: demo
demo: .venv/cronq  ## real jobs going through `cronq run`, and the table of them
	@$(BIN)/python -m demo

.PHONY: check
check: setup  ## style, types, layers and documents
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/check_docs.py

.PHONY: test thorough
thorough: export THOROUGH = 1
thorough: test  ## all tests, also those that repeat a scenario on further engines or at length
test: compiled  ## each scenario, two at once for each core
	$(PYTEST) -n $(WORKERS) --dist worksteal --durations 20 --durations-min 10

.PHONY: integration
integration: compiled  ## only the tests with real processes and servers
	$(PYTEST) -n $(WORKERS) --dist worksteal tests/integration tests/packaging

.PHONY: storm
storm: compiled  ## what is strong by repetition, in full: 20,000 jobs on each server; SEED=n for another course
	STORM_JOBS=20000 STORM_SEED=$(or $(SEED),1) GALERA_JOBS=10000 $(PYTEST) tests/integration/test_server_storm.py \
	  tests/integration/test_galera.py tests/integration/test_kill_storm.py tests/integration/test_flow_storm.py tests/integration/test_contention.py \
	  tests/integration/test_servers.py tests/integration/test_journal_room.py tests/contract/test_forks.py tests/contract/test_claim_batch.py \
	  tests/contract/test_interruptions.py tests/schedules/test_rule_property.py tests/integration/test_fastapi.py tests/django/test_example.py \
	  tests/django/test_leaks.py tests/integration/test_flask_storm.py tests/integration/test_failing_groups.py tests/integration/test_limits_storm.py \
	  tests/contract/test_batches_at_once.py tests/cli/test_enqueue.py

.PHONY: pythons
pythons: setup  ## the tests that need no server, on each Python from 3.11 to 3.14; PYTHONS="3.14" for some of them
	@.ci/pythons $(PYTHONS)

.PHONY: engines
engines: compiled  ## the servers' tests on the installed and newest version of each; ENGINES="mariadb-newest contract" for a part
	@PYTHONPATH=. $(BIN)/python .ci/engines.py $(ENGINES)

.PHONY: oldest newest
oldest newest: setup  ## unit, cli, SQLite's contract and after-commit tests with the oldest, or newest, dependencies allowed
	@.ci/bounds $@

.PHONY: bench
bench: compiled  ## the figures beside their references, e.g. make bench BENCH="--only drain --json out.json"
	$(BIN)/python -m benchmarks $(BENCH)

.PHONY: generated
generated: .venv/cronq  ## the manual page and the shells' completions, from the commands' declarations
	@$(BIN)/python .ci/make_manual.py
	@$(BIN)/python .ci/make_completions.py

.PHONY: dist
dist: .venv/development  ## wheel, sdist, and dist/cronq: one file that needs nothing but Python
	@rm -rf dist
	@$(BIN)/python -m hatchling build
	@$(BIN)/shiv --quiet --compile-pyc --no-compile --reproducible --console-script cronq --python '/usr/bin/env python3' \
	  --output-file dist/cronq "$$(echo dist/*.whl)[postgresql,amqp,redis,beanstalk]"
	@ls -lh dist

.PHONY: deb
deb: .venv/development  ## dist/cronq_VERSION_ARCHITECTURE.deb, for the Debian whose python3 this machine has
	@rm -rf dist
	@$(BIN)/python -m hatchling build --target wheel >/dev/null
	@PIP="$(BIN)/pip" packaging/debian/build "$$(echo dist/*.whl)"

.PHONY: packaging
packaging: setup  ## packaging/ anew from the templates in cronq/templates
	$(BIN)/python .ci/make_packaging.py

.PHONY: screenshots
screenshots: compiled  ## the pictures in docs/screenshots, from a real terminal (needs tmux) and a real browser (chromium)
	$(BIN)/python -m screenshots
	$(BIN)/python -m screenshots.web

.PHONY: scan
scan: compiled  ## a scan of `cronq web`: schemathesis on its JSON, and wapiti, where it is installed, on its pages
	@[ -x .venv/scan/bin/st ] || { $(BIN)/python -m venv .venv/scan && .venv/scan/bin/pip install --quiet schemathesis; }
	PYTHONPATH=. $(BIN)/python .ci/scan.py "$$PWD/.venv/scan/bin/st"

.PHONY: docs
docs: setup  ## are the documents true: links, words, and every example
	$(BIN)/python .ci/check_docs.py
	$(PYTEST) tests/cli/test_docs.py
