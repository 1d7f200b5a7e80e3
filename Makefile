# make demo, make test, make test-fast, make test-claude, make check, make bench, make plugin, make prices, make man, make api, make pictures, make dashboards: each makes the virtual environment first, if it is missing or old.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# of Claude Code: a number, `oldest` or `newest`
VERSION ?= newest
export CLAUDE_CODE_VERSION = $(VERSION)
REAL_CLAUDE := tests/real_claude

unexport PYTHONDONTWRITEBYTECODE  # else each of the tests' processes compiles the package anew

ON_ALL_PROCESSORS := --numprocesses=auto --dist=loadgroup

.PHONY: demo test test-fast test-claude check bench plugin prices man api pictures dashboards clean

demo: $(VENV)/.installed
	$(BIN)/otel-tracker demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(ON_ALL_PROCESSORS) --ignore=$(REAL_CLAUDE) $(PYTEST_OPTIONS)

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(ON_ALL_PROCESSORS) --ignore=$(REAL_CLAUDE) --ignore=tests/faults -m "not processes and not thorough and not hypothesis" $(PYTEST_OPTIONS)

test-claude: $(VENV)/.installed-dev
	$(BIN)/python -m tests.real_claude.program $(VERSION)
	$(BIN)/python -m pytest --numprocesses=4 $(REAL_CLAUDE)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=exporters $(BIN)/lint-imports

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

plugin: $(VENV)/.installed
	$(BIN)/python -m otel_tracker.integrations.claude_code.settings.plugin

prices: $(VENV)/.installed-dev
	$(BIN)/python -m tools.prices

man: $(VENV)/.installed-dev
	$(BIN)/python -m tools.man

api: $(VENV)/.installed-dev
	$(BIN)/python -m tools.api

pictures: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	$(BIN)/python -m tools.pictures

dashboards: $(VENV)/.installed
	$(BIN)/python -m grafana.generate

clean:
	rm -rf $(VENV) build dist

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; choose one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[all,dev]"
	touch $@
