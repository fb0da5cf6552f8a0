# One-liners. `make demo` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PROTO  := .venv-proto
ADDRESS ?= 127.0.0.1:7700
DATA   ?= data

.PHONY: install demo serve test leaks check proto bench faults clean
.DEFAULT_GOAL := install

install: $(VENV)/.installed  ## virtual environment with the three packages, editable

$(VENV)/.installed: pyproject.toml client/pyproject.toml server/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" -e ./client -e ./server
	touch $@

demo: install  ## start a server, load the shipped dataset, search it, stop
	$(BIN)/vecdb demo

serve: install  ## serve ./data on 127.0.0.1:7700
	$(BIN)/vecdb serve $(DATA) --listen $(ADDRESS)

check: install  ## ruff and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

test: check faults $(PROTO)/.installed  ## the whole gate
	$(BIN)/python -m pytest

leaks: install  ## a million searches as tenants: none may find what is not granted
	VECDB_LEAK_SEARCHES=1000000 $(BIN)/python -m pytest -q tests/behaviour/test_leaks.py

proto: $(PROTO)/.installed  ## regenerate the wire code, then the client's generated files
	$(PROTO)/bin/python proto/generate.py
	$(BIN)/python client/generate.py

$(PROTO)/.installed:
	$(PYTHON) -m venv $(PROTO)
	$(PROTO)/bin/python -m pip install --quiet --disable-pip-version-check grpcio-tools==1.62.3
	touch $@

bench: install  ## minutes; writes bench/results/
	$(BIN)/python -m bench run

faults:  ## fiu-run fails single system calls; without it the tests that need it are skipped
	@command -v fiu-run >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get -qq update && apt-get -qq install --yes --no-install-recommends fiu-utils; } \
	  || echo "fiu-utils is not installed: tests of failing disk calls will be skipped"

clean:
	rm -rf $(VENV) $(PROTO) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
