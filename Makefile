# Two commands to know: `make serve` and `make test`. Both prepare what is missing, once.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup serve test test-again lint types floors pytest docs engine-options demo-model bench \
  bench-gateway bench-peers clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(READY) ## virtual environment, Python packages, nginx

$(READY): pyproject.toml .ci/setup
	.ci/setup $(VENV)
	touch $@

serve: $(READY) ## serve the demo model, or what NIM_MODEL_NAME and its like ask for
	exec ./entrypoint.sh

test: lint types floors pytest ## everything that CI checks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

floors: $(READY)
	$(BIN)/lint-imports

pytest: $(READY)
	$(BIN)/pytest -m "not image and not soak"

test-again: $(READY) ## only the tests that failed last time
	$(BIN)/pytest -m "not image and not soak" --last-failed --last-failed-no-failures none

docs: $(READY) ## write the generated references anew
	$(BIN)/python -m nim.cli.reference

engine-options: $(READY) ## write the option table of the installed vLLM anew
	$(BIN)/python -m nim.engine.generate

demo-model: $(READY) ## train the demo model anew
	$(BIN)/python profiles/demo/build.py

bench: $(READY) ## measure start-up, memory and thinking; prints tables
	$(BIN)/python -m bench.decide
	$(BIN)/python -m bench.start

bench-gateway: $(READY) ## measure the gateway against what else could stand there (15 minutes)
	$(BIN)/python -m bench.gateway

bench-peers: $(READY) ## install what the gateway is measured against, into bench/.peers
	$(BIN)/python -m bench.peers.install

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) bench/.peers bench/.results build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
