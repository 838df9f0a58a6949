# Two commands to know: `make serve` and `make test`. Both prepare what is missing, once.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup serve test test-all test-again test-latest lint pytest pytest-all lock image test-image soak \
  soak-short docs engine-options model-oracle demo-model bench bench-gateway bench-peers clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(READY) ## virtual environment, Python packages, nginx

$(READY): pyproject.toml .ci/setup $(wildcard locks/*)
	.ci/setup $(VENV)
	touch $@

serve: $(READY) ## serve the demo model, or what NIM_MODEL_NAME and its like ask for
	exec ./entrypoint.sh

test: lint pytest ## every check of lint, and the everyday tests: minutes

test-all: lint pytest-all soak-short ## all that CI runs: the slow tests too, and faults under load

lint: $(READY) ## ruff, mypy, import contracts, shellcheck, hadolint, yamllint: .pre-commit-config.yaml
	$(BIN)/pre-commit run --all-files

# Most tests wait for processes most of the time: three wait at once. The real engine wants the machine for itself.
pytest: $(READY)
	status=0; \
	$(BIN)/pytest -n 3 --dist loadfile -m "not slow and not engine and not image and not soak" || status=1; \
	$(BIN)/pytest -m "engine and not slow and not own_engine and not soak" || status=1; \
	exit $$status

pytest-all: $(READY)
	status=0; \
	$(BIN)/pytest -n 3 --dist loadfile -m "not engine and not image and not soak" || status=1; \
	$(BIN)/pytest -m "engine and not own_engine and not soak" || status=1; \
	$(BIN)/pytest -m "own_engine and not soak" || status=1; \
	exit $$status

test-again: $(READY) ## only the tests that failed last time
	$(BIN)/pytest -m "not image and not soak" --last-failed --last-failed-no-failures none

test-latest: $(READY) ## make test in a clone with the newest of everything: tells what the locks hide
	.ci/test-latest $(BIN)/uv

lock: $(READY) ## write locks/ anew from pyproject.toml; UPGRADE=1 takes the newest of everything
	.ci/lock $(BIN)/uv $(if $(UPGRADE),--upgrade)

image: ## build the container image: ENGINE=cpu|gpu BASE=… TAG=… (deploy/image/build has them all)
	deploy/image/build

test-image: $(READY) ## build the CPU image on a Debian made here, run it and ask it; as root
	.ci/setup-image
	$(BIN)/pytest -m image tests/image

soak: $(READY) ## random faults under load: 200 rounds, and 10 with the real engine; SOAK_SEED=… for others
	$(BIN)/pytest -m soak tests/soak

soak-short: $(READY) ## ten of those rounds, always the same, in a minute
	SOAK_SEED=2 SOAK_ROUNDS=10 $(BIN)/pytest -m "soak and not engine" tests/soak

docs: $(READY) ## write the generated references anew
	$(BIN)/python -m nim.cli.reference

engine-options: $(READY) ## write what is known of the installed vLLM anew: options, catalog, configuration classes
	$(BIN)/python -m nim.engine.generate
	$(BIN)/python -m nim.engine.inspection

model-oracle: $(READY) ## let vLLM judge the models anew that changed, write docs/models.md; ONLY=NAME for one
	$(BIN)/python -m tests.oracle $(if $(ONLY),"$(ONLY)")
	$(BIN)/python -m tests.oracle.table

demo-model: $(READY) ## train the demo model anew
	$(BIN)/python profiles/demo/build.py

bench: $(READY) ## measure start-up, memory and thinking; prints tables
	$(BIN)/python -m bench.decide
	$(BIN)/python -m bench.start

bench-gateway: $(READY) ## measure the gateway against what else could stand there (30 minutes)
	$(BIN)/python -m bench.gateway

bench-peers: $(READY) ## install what the gateway is measured against, into bench/.peers
	$(BIN)/python -m bench.peers.install

clean: ## remove the virtual environment, caches and test images
	umount build/image/root/overlay 2>/dev/null || true
	rm -rf $(VENV) bench/.peers bench/.results build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
