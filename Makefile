PYTHON ?= python3
PIPELINE ?= movielens
PORT ?= 3000
WORKERS ?= 2

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
RUN = $(BIN)/python -m mtl_pipeline.run $(PIPELINE) $(if $(ALL),--all) $(if $(ANYWAY),--anyway) $(if $(VERBOSE),--verbose)

export PYTHONUNBUFFERED := 1
ifdef QUICK
export MTL_PIPELINE_QUICK := $(QUICK)
endif

# Run history, kept inside the checkout so that the UI shows what the command line did. Tests leave it alone.
demo run report tune backtest rollback ui instance: export DAGSTER_HOME := $(CURDIR)/.dagster_home

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Variables: PYTHON=$(PYTHON) PIPELINE=$(PIPELINE) PORT=$(PORT) WORKERS=$(WORKERS) INTERACTIONS=$(INTERACTIONS) FROM=$(FROM) TO=$(TO) TRIALS=$(TRIALS) SEEDS=$(SEEDS) WINDOWS=$(WINDOWS) ALL=$(ALL) ANYWAY=$(ANYWAY) VERBOSE=$(VERBOSE) QUICK=$(QUICK)'

.PHONY: demo
demo: .venv/.demo-installed .dagster_home/dagster.yaml  ## fetch or simulate the raw files, run the whole pipeline, print its metrics
	$(BIN)/python -m mtl_pipeline.demo $(PIPELINE) $(if $(INTERACTIONS),--interactions $(INTERACTIONS)) $(if $(FROM),--from $(FROM))
	$(MAKE) --no-print-directory run

.PHONY: run
run: instance  ## make what is out of date in a pipeline (ALL=1: everything), print its metrics; VERBOSE=1 shows all
	$(RUN)

# A run that was killed stays "started" until somebody looks; and trainings wait in line from the first night on.
.PHONY: instance
instance: .venv/.demo-installed .dagster_home/dagster.yaml
	@$(BIN)/python -m mtl_pipeline.instance

.PHONY: tune
tune: instance  ## search for better settings of the model, TRIALS for each architecture, and say what was found
	$(RUN) tuning $(if $(TRIALS),--config-json '{"ops": {"$(PIPELINE)__tuning": {"config": {"trials": $(TRIALS)}}}}')
	@cat data/$(PIPELINE)/tuning/report.md

.PHONY: report
report: instance  ## train the networks of a pipeline that has run again with SEEDS seeds, with and without text, and report
	$(RUN) seed_runs evaluation $(if $(SEEDS),--config-json '{"ops": {"$(PIPELINE)__seed_runs": {"config": {"seeds": $(SEEDS)}}}}')

.PHONY: backtest
backtest: instance  ## train and test in WINDOWS windows of time instead of one; the pipeline has to have run
	$(RUN) backtest $(if $(WINDOWS),--config-json '{"ops": {"$(PIPELINE)__backtest": {"config": {"windows": $(WINDOWS)}}}}')
	@cat data/$(PIPELINE)/backtest/report.md

.PHONY: rollback
rollback: instance  ## go back to the champion before, or to the one named by TO, and recommend by it
	$(BIN)/python -m mtl_pipeline.rollback $(PIPELINE) $(if $(TO),--to $(TO))

.PHONY: ui
ui: instance  ## open the Dagster UI on 127.0.0.1
	$(BIN)/dagster dev -w workspace.yaml --host 127.0.0.1 --port $(PORT)

# One thread each: the workers share the cores. What was compiled is kept, also where the shell forbids it: workers and
# the processes that tests start would otherwise compile everything again.
.PHONY: test
test: .venv/.dev-installed  ## run the tests; OPTIONS='-k name' is passed to pytest
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(OPTIONS)

# Nearly all of it is training: some minutes. `make test` follows the same pages without the long trainings.
.PHONY: docs
docs: .venv/.dev-installed  ## follow the pages that show commands, to the letter, and make their pictures
	DOCS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest mtl_pipeline_tests/walkthrough $(OPTIONS)

.PHONY: faults
faults: .venv/.dev-installed  ## break things on purpose, from a fixed seed, and count what they do (docs/trust.md)
	OMP_NUM_THREADS=1 $(BIN)/python -m mtl_pipeline_tests.faults $(OPTIONS)

.PHONY: lint
lint: .venv/.dev-installed  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: .venv/.dev-installed  ## mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: .venv/.dev-installed  ## check types
	$(BIN)/mypy

.PHONY: contracts
contracts: .venv/.dev-installed  ## check which package may import which, and that Dagster takes every defs.yaml
	$(BIN)/lint-imports
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg check yaml
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg check defs

.PHONY: clean
clean:  ## remove what the pipelines made, run history and caches; raw files, their truth and .venv stay
	if [ -d data ]; then find data -mindepth 2 -maxdepth 2 ! -name raw ! -name truth.parquet ! -name planted.json -exec rm -rf {} +; fi
	rm -rf .dagster_home .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

# pip is the last thing `venv` makes, so its presence means that the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo 'mtl_pipeline runs on Python 3.11 to 3.13. Here, $(PYTHON) is:'; \
	    $(PYTHON) --version; \
	    echo 'Name another one: make PYTHON=python3.13 …'; \
	    exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo '$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv'; \
	    exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo-installed: pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[demo]'
	touch $@

.venv/.dev-installed: pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[dev]'
	touch .venv/.demo-installed $@

.dagster_home/dagster.yaml: dagster.yaml
	mkdir -p .dagster_home
	ln -sf ../dagster.yaml $@
