# The only task runner: people and CI call the same targets. `make help` explains them.
#
# Variables: PYTHON      the interpreter that makes .venv (default python3; 3.11 or newer)
#            PYTEST_FLAGS further flags for pytest, e.g. PYTEST_FLAGS="-x -k recovery"
#            FUZZ_FLAGS   flags for `make fuzz`, e.g. FUZZ_FLAGS="--seed 7 --inputs 500000"
# pip reads its own PIP_* variables and pip.conf: an index of CPU builds of torch goes there.

PYTHON ?= python3
PYTEST_FLAGS ?=
FUZZ_FLAGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARTS := contract training serving engine
PYPROJECTS := pyproject.toml $(PARTS:%=%/pyproject.toml)
PYTEST := $(BIN)/python -m pytest
# One process a core; what starts engines and servers has the machine to itself.
UNIT := tests/unit tests/wire --numprocesses auto --dist loadfile
QUICKSTART_HOME := $(CURDIR)/.quickstart/home

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help quickstart test test-unit fuzz check format bench clean

help: ## Say what there is to make (the default)
	@echo 'intermodal: the ML training and inference toolkit for containers on AWS'
	@echo
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Every target sets up $(VENV) first where that is needed (once; again when a pyproject.toml changes).'
	@echo 'Another interpreter: make PYTHON=python3.12 ...   Flags for pytest: PYTEST_FLAGS="-x -k recovery"'

# Runs in a home of its own, so that nothing else on the machine is touched. An engine that already
# runs there stays; one that was started for this run is stopped at the end.
quickstart: $(READY) ## Train on real data, deploy two instances, predict over HTTP, survive a kill
	@export INTERMODAL_HOME='$(QUICKSTART_HOME)' PATH='$(CURDIR)/$(BIN)':"$$PATH"; \
	mkdir -p "$$INTERMODAL_HOME"; \
	if ! intermodal status >/dev/null 2>&1; then \
		trap 'intermodal down >/dev/null 2>&1' EXIT; \
		trap 'exit 130' INT TERM; \
		intermodal up --detach --port 0 >/dev/null || exit; \
	fi; \
	python examples/quickstart.py

# pytest says 5 where PYTEST_FLAGS leave no test.
test: $(READY) ## Run all tests that need neither docker nor AWS: unit, wire, e2e
	@$(PYTEST) $(UNIT) $(PYTEST_FLAGS); unit=$$?; \
	[ $$unit -eq 0 ] || [ $$unit -eq 5 ] || exit $$unit; \
	$(PYTEST) tests/e2e $(PYTEST_FLAGS); e2e=$$?; \
	[ $$e2e -ne 5 ] || exit $$unit; \
	exit $$e2e

test-unit: $(READY) ## Run the fast tests only: unit, wire
	@$(PYTEST) $(UNIT) $(PYTEST_FLAGS)

fuzz: $(READY) ## Send 150,000 bad inputs to a real `serve` and judge what comes of it
	@$(BIN)/python -m tests.fuzz $(FUZZ_FLAGS)

check: $(READY) ## Check format, lint, types and which part may import which
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@MYPYPATH=examples/digits $(BIN)/mypy examples benchmarks
	@$(BIN)/lint-imports

format: $(READY) ## Put the source into the one format and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## Measure speed and memory, print each figure beside what must hold
	@$(BIN)/python -m benchmarks

clean: ## Remove what the other targets made, except .venv
	@if [ -e '$(QUICKSTART_HOME)/engine.json' ]; then $(BIN)/intermodal down --home '$(QUICKSTART_HOME)'; fi
	@rm -rf .quickstart .bench-peers benchmarks/results build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# pip is silent here unless something goes wrong; then its own words are shown.
$(READY): $(PYPROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'error: intermodal needs Python 3.11 or newer, and `$(PYTHON)` is older or missing' >&2; \
		echo 'hint: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'Setting up $(VENV) (once; some minutes where PyTorch must be downloaded) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PARTS:%=-e %) -e '.[torch]' --group dev
	@touch $@
