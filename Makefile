# The only task runner: people and CI call the same targets. `make help` explains them.
#
# Variables: PYTHON      the interpreter that makes .venv (default python3; 3.11 or newer)
#            PYTEST_FLAGS further flags for pytest, e.g. PYTEST_FLAGS="-x -k recovery"
#            LOAD_FLAGS   flags for `make soak-load`, e.g. LOAD_FLAGS="--seed 7 --seconds 60"
#            FUZZ_FLAGS   flags for `make fuzz` and `make soak-fuzz`, e.g. FUZZ_FLAGS="--seed 7 --inputs 500000"
# Of images: FRAMEWORK    pytorch (default) or mxnet;  FRAMEWORK_VERSION  the newest by default
#            DEVICE       cpu (default) or gpu;        PLATFORM           e.g. linux/arm64
#            BASE_IMAGE   another base than the catalogue's;  PYTHON_VERSION  its Python, e.g. 3.11
#            TAG          a tag or a whole name instead of the catalogue's
#            CODE         a folder of code to put onto the image: with a Dockerfile of its own, or
#                         with train.py or inference.py, and requirements.txt if it needs any
#            MPI          0: a training image without Open MPI, which is smaller
#            REPOSITORY   where `make push` pushes to: HOST:PORT/NAME[:TAG], or NAME[:TAG] for ECR
#            IMAGE        what it pushes, instead of ours for PURPOSE (training or inference)
# pip reads its own PIP_* variables and pip.conf: an index of CPU builds of torch goes there.

PYTHON ?= python3
PYTEST_FLAGS ?=
FUZZ_FLAGS ?=
LOAD_FLAGS ?=
FRAMEWORK ?= pytorch
DEVICE ?= cpu
PURPOSE ?= training

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
.PHONY: help quickstart build-train build-serve images push sbom test test-unit test-images test-gpu test-vendor \
	fuzz soak soak-fuzz soak-recovery soak-storage soak-load check format bench clean

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

IMAGE_FLAGS = --framework '$(FRAMEWORK)' --framework-version '$(FRAMEWORK_VERSION)' \
	--device '$(DEVICE)' --base-image '$(BASE_IMAGE)' --python '$(PYTHON_VERSION)' \
	--tag '$(TAG)' --platform '$(PLATFORM)' --code '$(CODE)' --mpi '$(or $(MPI),1)'

build-train: $(READY) ## Build a training image: FRAMEWORK, DEVICE, BASE_IMAGE, TAG, PLATFORM, CODE
	@$(BIN)/python -m containers.build training $(IMAGE_FLAGS)

build-serve: $(READY) ## Build a serving image, by the same variables
	@$(BIN)/python -m containers.build inference $(IMAGE_FLAGS)

images: $(READY) ## List the images: which there are, which are built here, how large they are
	@$(BIN)/python -m containers.images

push: $(READY) ## Push an image to any registry or to ECR: REPOSITORY, IMAGE or what it was built by
	@$(BIN)/python -m containers.push --purpose '$(PURPOSE)' --framework '$(FRAMEWORK)' \
		--framework-version '$(FRAMEWORK_VERSION)' --device '$(DEVICE)' --tag '$(TAG)' \
		--image '$(IMAGE)' '$(REPOSITORY)'

sbom: $(READY) ## Write build/sbom/*.spdx.json: what is in each image that is built here
	@$(BIN)/python -m containers.sbom build/sbom

# pytest says 5 where PYTEST_FLAGS leave no test.
test: $(READY) ## Run all tests that need neither docker nor AWS: unit, wire, e2e
	@$(PYTEST) $(UNIT) $(PYTEST_FLAGS); unit=$$?; \
	[ $$unit -eq 0 ] || [ $$unit -eq 5 ] || exit $$unit; \
	$(PYTEST) tests/e2e $(PYTEST_FLAGS); e2e=$$?; \
	[ $$e2e -ne 5 ] || exit $$unit; \
	exit $$e2e

test-unit: $(READY) ## Run the fast tests only: unit, wire
	@$(PYTEST) $(UNIT) $(PYTEST_FLAGS)

test-images: $(READY) ## Build the images and run jobs and endpoints in them; needs a docker engine
	@$(PYTEST) tests/images -o timeout=900 $(PYTEST_FLAGS)

test-gpu: $(READY) ## Run what only a machine with a GPU can show; needs one, and a docker engine
	@$(PYTEST) tests -m gpu $(PYTEST_FLAGS)

# Two processes: most of the time is the SDKs' own waiting.
test-vendor: $(READY) ## Run the vendor's SDKs, unmodified, against the engine
	@$(PYTEST) tests/vendor --numprocesses 2 --dist loadfile $(PYTEST_FLAGS)

fuzz: $(READY) ## Send 150,000 bad inputs to a real `serve` and judge what comes of it
	@$(BIN)/python -m tests.fuzz $(FUZZ_FLAGS)

soak: fuzz soak-fuzz soak-recovery soak-storage soak-load ## Run the long checks: hostile input, kills, cut power, load

soak-fuzz: $(READY) ## Send 300,000 hostile inputs to every operation of the engine, by FUZZ_FLAGS
	@$(BIN)/python -m tests.fuzz.engine $(FUZZ_FLAGS)

soak-recovery: $(READY) ## Kill the engine at 200 random points of a mixed workload; SEED repeats one
	@KILLS=200 $(PYTEST) tests/e2e/test_random_kills.py --capture no $(PYTEST_FLAGS)

soak-storage: $(READY) ## Cut the power, and fill the disk, at every single change to the home; SEED repeats one
	@CUTS=every $(PYTEST) tests/e2e/test_storage.py --capture no $(PYTEST_FLAGS)

soak-load: $(READY) ## Have 200 clients use an engine for ten minutes beside 100 slow ones, by LOAD_FLAGS
	@$(BIN)/python -m tests.load $(LOAD_FLAGS)

check: $(READY) ## Check format, lint, types, Dockerfiles, and which part may import which
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@MYPYPATH=examples/digits $(BIN)/mypy examples benchmarks
	@$(BIN)/lint-imports
	@$(BIN)/hadolint containers/*Dockerfile $(wildcard examples/*/Dockerfile)
	@$(BIN)/shellcheck --severity=warning containers/*.sh .ci/*

format: $(READY) ## Put the source into the one format and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## Measure speed and memory, print each figure beside what must hold
	@$(BIN)/python -m benchmarks

clean: ## Remove what the other targets made, except .venv
	@if [ -e '$(QUICKSTART_HOME)/engine.json' ]; then $(BIN)/intermodal down --home '$(QUICKSTART_HOME)'; fi
	@rm -rf .quickstart .bench-peers .vendor benchmarks/results build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
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
