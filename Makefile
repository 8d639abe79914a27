# Bucle. Two commands matter to a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: help demo test test-full check bench docs lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/demo.done  ## set up and play the year 2013 through the whole line
	$(BIN)/bucle demo $(DEMO)

test: $(VENV)/dev.done  ## set up and run the tests
	$(BIN)/python scripts/prepare_tests.py
	$(BIN)/pytest -n 2 -m "not full"

test-full: $(VENV)/dev.done  ## the slow checks as well: many kills, the demo on PostgreSQL
	$(BIN)/python scripts/prepare_tests.py
	$(BIN)/pytest -n 2

check: $(VENV)/dev.done  ## lint, format, types, import rules, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_house.py tests/test_docs.py

bench: $(VENV)/dev.done  ## every benchmark, with the peer and the limit in the same run
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

lock: $(VENV)/dev.done  ## renew requirements/*.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra examples --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -q -o requirements/demo.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -q -o requirements/dev.lock

clean:  ## remove what was installed and built
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Bucle needs Python 3.11 or newer: make PYTHON=python3.11 …") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: requirements/demo.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/demo.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

$(VENV)/dev.done: requirements/dev.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@ $(VENV)/demo.done
