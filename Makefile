# Two commands for everyone: `make run` and `make test`. They need Python 3.11+ and make; the rest they install.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Tests wait more than they compute. PROCESSES=0 has one after the other, in a single process.
PROCESSES ?= 4

.PHONY: run demo test check format lint types layers guard guard-baseline peers peer-options tables prometheus-matrix soak fuzz smoke clean

run: $(VENV)/.installed
	exec $(BIN)/penstock

# A gateway before three servers, and a page that shows who answers: etc/gateway.yaml. Ports 8000, 9001 to 9003, 9180.
demo: $(VENV)/.installed
	exec $(BIN)/python etc/demo/run.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m "not soak" --numprocesses $(PROCESSES) --dist loadgroup

check: lint types layers test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports --no-cache

# Instructions per request on the hot paths, against the committed baseline. Needs valgrind.
guard: $(VENV)/.installed-dev
	$(BIN)/python loadtest/guard

# make guard-baseline REASON="why the hot paths cost something else now"
guard-baseline: $(VENV)/.installed-dev
	$(BIN)/python loadtest/guard --renew "$(REASON)"

# What `loadtest/compare` compares with. nginx and HAProxy come from the distribution.
peers: $(VENV)/.installed
	$(PIP) install --editable '.[bench]'

# The options of the servers that people switch from, as installed: what is new in them is to be judged.
peer-options: peers $(VENV)/.installed-dev
	$(BIN)/python tests/peers/refresh.py
	$(BIN)/python -m pytest -q tests/master/config/test_peers.py

# What is written from the table of options: the keywords of `penstock.run`, the tables of docs/switching.md.
tables: $(VENV)/.installed-dev
	PYTHONPATH=. $(BIN)/python tests/master/keywords.py
	PYTHONPATH=. $(BIN)/python tests/master/switching.py

# The app's metrics with many versions of prometheus_client, which pip fetches.
prometheus-matrix: $(VENV)/.installed-dev
	$(BIN)/python tests/worker/appmetrics/versions.py

# Volumes and long runs: minutes, not for every change.
soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m soak

# Coverage-guided, against a strict reading of the same bytes. What it finds is left in crash-*.
SECONDS ?= 60
fuzz: $(VENV)/.installed-dev
	$(PIP) install --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.fuzz_requests -max_total_time=$(SECONDS)

# Serve, ask, hot-restart and stop, on another Python: make smoke PYTHON=python3.13 VENV=.venv-3.13
smoke: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q tests/process/test_serving.py

clean:
	rm -rf $(VENV) build dist *.egg-info shm/*.so worker/gateway/*.so

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Penstock needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

SOURCES := pyproject.toml $(wildcard shm/native/* worker/gateway/native/*)

$(VENV)/.installed: $(VENV)/.created $(SOURCES)
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created $(SOURCES)
	$(PIP) install --editable '.[dev]'
	@touch $(VENV)/.installed $@
