# Everything a newcomer or a CI job calls. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BROWSER := $(VENV)/.browser
DOCS := $(VENV)/.docs

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-deploy test test-slow test-gpu test-browser test-trackers test-slurm torture check gate examples docs format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## make .venv with everything installed, at the pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "GreenPose needs Python 3.11 or newer; this is %d.%d. Try: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup  ## train, meter and report the quick grid on synthetic data (3 to 6 minutes)
	$(BIN)/greenpose run --grid experiments/quick.yaml

demo-deploy: setup  ## the demo, then one of its networks as files in every runtime and precision: judged, measured, reported (about 10 minutes)
	$(BIN)/greenpose run --grid experiments/quick.yaml --no-report
	@set -e; for run in runs/quick/HRNet4-OKD-DS-*; do \
		for exit in 3 4; do \
			$(BIN)/greenpose export $$run --exit $$exit --to openvino,onnx,pt2 --precision fp32,bf16,int8 -o $$run/exported/exit$$exit; \
		done; \
		$(BIN)/greenpose measure $$run $$run/exported/exit3 $$run/exported/exit4; \
	done
	$(BIN)/greenpose report runs/quick -o reports/quick-deploy.html

test: setup  ## run the tests
	$(BIN)/pytest -n 3 --dist loadfile

test-slow: setup  ## run the tests marked slow
	$(BIN)/pytest -m 'slow and not gpu' -n 2 --dist loadfile

test-gpu: setup  ## run the tests that need a CUDA device
	$(BIN)/pytest -m gpu

test-browser: $(BROWSER)  ## run the report's tests in Chromium, installing it where that is allowed
	@tests/browser/prepare.sh
	$(BIN)/pytest tests/browser -m browser

$(BROWSER): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@touch $@

test-trackers: setup  ## run the trackers' tests against MLflow, TensorBoard and W&B themselves, which it installs
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt mlflow-skinny sqlalchemy alembic tensorboard wandb
	$(BIN)/pytest -m trackers tests/test_trackers.py

test-slurm: setup  ## run the tests on a Slurm that they start: Debian's, installed where root and apt allow
	@! tests/slurm/prepare.sh || $(BIN)/pytest -m slurm tests/slurm

torture: setup  ## kills, rivals, broken disks, damaged files, hostile words, lying counters: at length, figures printed
	$(BIN)/pytest tests/torture -m torture -s
	@if [ -f tests/metering/test_lying_counters.py ]; then $(BIN)/pytest tests/metering/test_lying_counters.py -v; fi

check: setup  ## formatting, lint, types, import contracts, our own networks' footprint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/greenpose check experiments/quick.yaml --baseline .ci/baseline.json

gate: setup  ## hold GreenPose to its own footprint: what its import loads and takes, how soon it reads, what metering costs a run
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.overhead --quick

examples: setup  ## render the published reports from their records; RUNS=runs/quick puts new records in their place
	$(BIN)/python -m reports.examples $(RUNS)

docs: $(DOCS)  ## build the documentation as a site without a network: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -f .ci/site/mkdocs.yml
	@echo site/index.html

$(DOCS): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

format: setup  ## put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the venv and the caches (never runs or reports)
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
