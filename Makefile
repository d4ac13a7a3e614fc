# make serve   the service on 127.0.0.1:8000 (PORT=8123 moves it)
# make test    all tests that this machine can run (TRAIN=1 adds torch and the training tests)
# make check   linters, types, import contracts
# make train   rebuild the shipped model from annotations/corpus (NAME=... for another name)
# make bench   the speed ratios against the endpoint most people would write

PYTHON ?= python3
PORT ?= 8000
NAME ?= $(shell cat models/DEFAULT)
# What int8 may move a probability in the model that ships; docs/decisions/002-encoder-graph.md says why it is not 0.02.
DRIFT ?= 0.04
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
INPUTS := pyproject.toml constraints.txt

# The training extra holds torch, several GB from most registries: only where it is asked for.
TRAINING := $(if $(filter true,$(CI))$(filter-out 0 no false,$(TRAIN)),yes)

.PHONY: serve test check train bench evaluate constraints clean

serve: .venv/.serve
	$(BIN)/motives serve --port $(PORT)

test: .venv/.dev $(if $(TRAINING),.venv/.train)
	$(BIN)/pytest

check: .venv/.dev .venv/.train
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

train: .venv/.dev .venv/.train
	$(BIN)/motives train --name $(NAME) --drift $(DRIFT)
	$(BIN)/motives evaluate --model models/$(NAME)

evaluate: .venv/.dev .venv/.train
	$(BIN)/motives evaluate --model models/$(NAME)

bench: .venv/.dev .venv/.train
	$(BIN)/python benchmarks/speed.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/.serve: .venv/bin/python $(INPUTS)
	$(PIP) --editable '.[serve]'
	@touch $@

.venv/.dev: .venv/.serve $(INPUTS)
	$(PIP) --editable '.[serve,dev]'
	@touch $@

.venv/.train: .venv/.serve $(INPUTS)
	$(PIP) --editable '.[serve,train]'
	@touch $@

# One resolution over all extras; torch and what only it needs are left to the train extra's own pin.
constraints:
	$(PYTHON) -m venv .venv-constraints && .venv-constraints/bin/pip install --quiet uv
	.venv-constraints/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate --quiet \
	  $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) \
	  | grep -vE '^(--|torch==|triton==|nvidia-|cuda-)' \
	  | sed '1i # One set over all extras. Made by `make constraints`; torch and what only it needs are left out (the train extra pins torch).' \
	  > constraints.txt
	rm -rf .venv-constraints

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info build
