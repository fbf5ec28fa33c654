# `make demo` and `make test` each do all the set-up they need; `make help` lists every target.
PYTHON ?= python3
VENV ?= .venv
DATA ?= digits
DEMO_OVERRIDES = data=$(DATA) model=mlp_64_64 tracking.experiment_name=demo hydra/launcher=local_pool
# The digits are few: smaller batches and more epochs.
ifeq ($(DATA),digits)
DEMO_OVERRIDES += epochs=20 batch_size=32
else
DEMO_OVERRIDES += epochs=3
endif

ifneq ($(words $(VENV)),1)
$(error VENV=$(VENV): make takes no blanks in names; choose another)
endif
BIN = $(VENV)/bin
RUN_READY = $(VENV)/.ready-to-run
TEST_READY = $(VENV)/.ready-to-test
BENCH_READY = $(VENV)/.ready-to-bench
# An environment that was left half-made, or whose Python is gone or another by now, counts as not made.
CHECK_ENVIRONMENT = import pip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
FORGOTTEN := $(shell test ! -d $(VENV) || $(BIN)/python -c '$(CHECK_ENVIRONMENT)' 2>/dev/null || rm -f $(BIN)/python $(VENV)/.ready-*)
# With PyTorch, several GB on Linux; without it, and without its loop: make bench BENCH_REQUIREMENTS=requirements.txt
BENCH_REQUIREMENTS ?= requirements-bench.txt
# E.g. --work b,c
BENCH ?=
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"
CLUSTER_EXTRAS = --extra parallel --extra ray --extra slurm --extra server

# TensorFlow has packages for these alone; said before 3 GB are loaded.
define CHECK_PLATFORM
import platform, sys
version = sys.version_info[:2]
here = platform.system(), platform.machine()
if not (3, 11) <= version < (3, 14):
    sys.exit("error: %s is Python %d.%d; 3.11 to 3.13 is needed: make PYTHON=python3.11 …" % (sys.executable, *version))
if here not in [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64")]:
    sys.exit("error: TensorFlow has no package for %s on %s; see README, Platforms" % here)
if here[0] == "Linux" and platform.libc_ver()[0] != "glibc":
    sys.exit("error: TensorFlow has no package for Linux without glibc (Alpine, for one); see README, Platforms")
endef
export CHECK_PLATFORM

.DEFAULT_GOAL := help
.PHONY: help demo test test-commands test-launchers test-outside test-slow bench lint format lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: $(RUN_READY) ## a sweep over the L2 penalty, its figure, and how to look at it (DATA=mnist for the real thing)
	@echo "Does an L2 penalty help a small network on $(DATA)? Six penalties (reg), each with four seeds:"
	@$(BIN)/python -m mnist_flow.train -m reg=0,1e-4,1e-3,1e-2,3e-2,1e-1 seed=0,1,2,3 $(DEMO_OVERRIDES)
	@$(BIN)/python -m mnist_flow.analyze study=regularization tracking.experiment_name=demo output_dir=figures/demo
	@echo
	@echo "The picture: figures/demo/regularization-demo.png"
	@echo "Every run, with its params, curves, confusion matrix and model, is in the experiment 'demo' of $${MLFLOW_TRACKING_URI:-$$PWD/mlflow.db}"
	@echo "Look at them: $(BIN)/python -m mlflow ui     and open the sweep's page, the link above"
	@echo "Try next:"
	@echo "  $(BIN)/python -m mnist_flow.evaluate measure=shift tracking.experiment_name=demo    # on shifted images, without training"
	@echo "  $(BIN)/python -m mnist_flow.analyze study=shift tracking.experiment_name=demo       # and their picture"
	@echo "  $(BIN)/python -m mnist_flow.train -m model=mlp_64_64,cnn_20_40 data=$(DATA) seed=0,1 tracking.experiment_name=mine    # a sweep of your own"

PYTEST_BY_FILE = $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: $(TEST_READY) lint ## lint, types, layers, and the tests within a process, with those of the command train (minutes on 2 cores)
	$(PYTEST_BY_FILE) -m "not slow and not commands"

test-commands: $(TEST_READY) ## the tests that start any other command: sweeps, searches, evaluations, analyses, reproductions (minutes)
	$(PYTEST_BY_FILE) -m "commands and not slow"

test-launchers: $(TEST_READY) ## what CI runs besides: Ray on two nodes, Slurm's stand-in, PostgreSQL, killed sweeps, servers away (minutes)
	$(BIN)/python -m pytest -n 2 --dist worksteal --timeout 400 -m launchers

test-outside: $(TEST_READY) ## cases of other people's reports: folders, variables, stores, signals and outputs (about 6 minutes)
	$(BIN)/python -m pytest -n 3 --dist loadfile -m outside

test-slow: $(TEST_READY) ## all slow tests, those of test-launchers and test-outside too: many kills, lost servers, clusters (36 minutes)
	$(BIN)/python -m pytest -n 2 --dist worksteal --timeout 400 -m slow

bench: $(BENCH_READY) ## measure the project beside plain loops, for docs/BENCHMARKS.md (about 3 hours on 2 cores; BENCH="--work d" for a part)
	$(BIN)/python -m benchmarks $(BENCH)

lint: $(TEST_READY) ## ruff, mypy and the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(TEST_READY) ## put the code into ruff's format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(TEST_READY) ## renew requirements*.txt from pyproject.toml
	$(UV_COMPILE) --extra parallel --output-file requirements.txt
	$(UV_COMPILE) $(CLUSTER_EXTRAS) --constraints requirements.txt --output-file requirements-cluster.txt
	$(UV_COMPILE) $(CLUSTER_EXTRAS) --extra dev --constraints requirements-cluster.txt --output-file requirements-dev.txt
	$(UV_COMPILE) --extra parallel --extra bench --constraints requirements-dev.txt --output-file requirements-bench.txt

clean: ## remove the environment, figures and caches; runs and their records stay
	rm -rf $(VENV) figures .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c "$$CHECK_PLATFORM"
	@echo "Creating $(VENV) and installing the pinned packages (about 3 GB, some minutes, once)"
	@$(PYTHON) -m venv $$(test -f $(VENV)/pyvenv.cfg && echo --clear) $(VENV)

$(RUN_READY): requirements.txt | $(BIN)/python
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(TEST_READY): requirements.txt requirements-dev.txt | $(BIN)/python
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $(RUN_READY) $@

$(BENCH_READY): $(BENCH_REQUIREMENTS) | $(BIN)/python
	@$(PIP_INSTALL) -r $(BENCH_REQUIREMENTS)
	@touch $(RUN_READY) $@
