# Every target makes the environment it needs in .venv; only Python 3.10 or newer has to be installed.
PYTHON ?= python3
VENV ?= .venv
# e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for torch without CUDA: 1 GB instead of 6
PIP_ARGS ?=
RUN = $(VENV)/bin/python -m
PARALLEL = -n 2 --dist loadfile  # most tests wait for processes that they start

.PHONY: help install dev demo reports benchmark test test-slow lint audit format clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install  ## four runs on real MNIST and their comparison: 2 min on 2 cores that compute in bf16, else 5
	$(RUN) resnet_lightning --multirun name=demo model=resnet10 model.widths=[16,32,64] scheduler=onecycle epochs=3 data.train_limit=20000 \
		lr=0.2,0.02 batch=64,128
	@echo "Look at multirun/demo/comparison.html; curves of every run: $(VENV)/bin/tensorboard --logdir multirun/demo"

reports: install  ## rerun the five course reports, with a page for each; make reports scale=0.02 for a first look
	$(RUN) resnet_lightning.reproduce $(if $(scale),scale=$(scale) epochs_scale=$(scale) data.test_limit=1000)

benchmark: $(VENV)/installed-benchmark  ## how fast this machine trains, compared with what people would use instead; run nothing else meanwhile
	$(RUN) resnet_lightning.benchmark

test: dev  ## the tests
	$(RUN) pytest $(PARALLEL)

test-slow: dev  ## all tests, including the long ones
	$(RUN) pytest $(PARALLEL) -m "slow or not slow"

lint: dev  ## style and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

audit: dev  ## known vulnerabilities of the installed packages, from PyPI's list (needs internet access)
	$(RUN) pip install --quiet $(PIP_ARGS) --editable '.[audit]'
	$(RUN) pip_audit --skip-editable --progress-spinner off

format: dev  ## format the code in the style that lint requires
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

install: $(VENV)/installed  ## the package and its dependencies, in .venv
dev: $(VENV)/installed-dev  ## the same, plus the development tools

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is %d.%d: make PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV): a few minutes and, with torch for CUDA, 6 GB."
	$(RUN) pip install --quiet $(PIP_ARGS) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(RUN) pip install --quiet $(PIP_ARGS) --editable '.[dev]'
	@touch $@

$(VENV)/installed-benchmark: $(VENV)/installed
	$(RUN) pip install --quiet $(PIP_ARGS) --editable '.[benchmark]'
	@touch $@

clean:  ## remove the environment and the tools' caches, but no results
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
