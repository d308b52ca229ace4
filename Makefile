# Everything is one command. The first one makes .venv from exact pins, which takes a few minutes.
# Without make: create an environment of your own, install requirements.txt, then `python -m mamlkit --help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test lab notebooks bank judge bench docs clean

help: ## say what there is
	@echo "make COMMAND [ARGS=\"...\"] [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' Makefile
	@echo "What ARGS can be: make run ARGS=--help"

run: $(READY) ## run every notebook at profile quick, without a browser, into runs/<time>/
	@$(BIN)/python -m mamlkit run $(ARGS)

test: $(READY) ## run every test and every cell of every notebook
	@$(BIN)/python -m mamlkit test $(ARGS)

lab: $(READY) ## open copies of the notebooks in JupyterLab
	@$(BIN)/python -m mamlkit lab $(ARGS)

notebooks: $(READY) ## make the .ipynb files from the .py files, and what is generated from the records
	@$(BIN)/python -m mamlkit notebooks $(ARGS)
	@$(BIN)/python -m mamlkit readme

bank: $(READY) ## train what the bank of results lacks (ARGS=--check: does what it holds still begin so?)
	@$(BIN)/python -m mamlkit bank $(ARGS)

judge: $(READY) ## write the record of every claim anew from what is banked
	@$(BIN)/python -m mamlkit judge $(ARGS)
	@$(BIN)/python -m mamlkit readme

bench: $(READY) ## time MAML here beside JAX, torchopt and higher, into runs/bench/ (ARGS="O1 M": only those workloads; locomotion: the robots; scaling: more tasks, steps, ways)
	@$(BIN)/python -m tests.benchmarks.$(if $(filter locomotion captured scaling,$(ARGS)),$(ARGS),speed $(ARGS))

docs: $(READY) ## make the reference from the docstrings, into docs/
	@$(BIN)/python -m pdoc -o docs mamlkit
	@echo "open docs/mamlkit.html"

clean: ## remove .venv, docs/ and what tests leave; runs/, lab/ and data/ stay
	rm -rf $(VENV) .venv-* docs .pytest_cache *.egg-info data/cache/smoke data/cache/lab
	find . -name __pycache__ -prune -exec rm -rf {} +

# torch in a call of its own: then nothing else can bring another build of it.
$(READY): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here; install Python 3.11 or newer, or name it: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: Python 3.11 or newer is needed; name one with make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Making $(VENV) (a few minutes, about 1.5 GB) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
