# make run    install into .venv, compile where a compiler is, and start a router to look at
# make check  lint, format, types, layers            make unit  the fast tests       (both together under two minutes)
# make test   everything, with real peers            make bench the comparison with nginx, HAProxy and Caddy

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
# The router under test is the installed wheel, never the checkout that make runs in.
export PYTHONSAFEPATH := 1
# What pytest makes of each file's assertions is kept for the next run: a third of the time of the unit tests.
unexport PYTHONDONTWRITEBYTECODE
BIN := $(VENV)/bin
# Unit tests run beside each other; live tests need the machine to themselves.
AT_ONCE := $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 8 ? n : 8)))
SOURCES := $(shell find edgerouter/ providers/ middlewares/ dashboard/ config/ -type f -not -name '*.pyc' 2>/dev/null) pyproject.toml setup.py

.PHONY: run check unit test bench install dev peers pure clean

run: $(VENV)/.installed
	$(BIN)/python -m edgerouter.demo

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# EDGEROUTER_UNTRAINED=1 compiles once only, without the load that the compiler learns from (docs/decisions/0002).
# The wheel comes from a cache outside the checkout where the same content was built before.
$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	$(BIN)/pip install --quiet --force-reinstall --no-deps "$$(bash .ci/wheel.sh $(BIN)/python)"
	$(BIN)/pip install --quiet "$$(bash .ci/wheel.sh $(BIN)/python)"
	touch $@

dev: $(VENV)/.dev $(VENV)/.installed

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --group dev
	touch $@

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: dev
	$(BIN)/python -m pytest -q -n $(AT_ONCE) -m "not live"

# The same files uncompiled: the unit tests and one live smoke test.
pure: dev
	EDGEROUTER_PURE=1 $(BIN)/python -m pytest -q -n $(AT_ONCE) -m "not live"
	EDGEROUTER_PURE=1 $(BIN)/python -m pytest -q tests/live/test_smoke.py

peers:
	bash .ci/live-peers.sh

test: dev peers check
	$(BIN)/python -m pytest -q -n $(AT_ONCE) -m "not live"
	$(BIN)/python -m pytest -v -o console_output_style=times -m live
	$(MAKE) pure

bench: dev
	for question in compare tls instructions routes middlewares gigabytes websockets workers; do PYTHONSAFEPATH= $(BIN)/python benchmarks/$$question.py || exit 1; done

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
