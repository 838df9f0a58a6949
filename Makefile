# The two main commands are `make serve` and `make test`. Both run the set-up if it is missing.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup serve test test-all test-again test-latest test-peers lint pytest pytest-all lock image test-image \
  soak soak-short docs engine-options model-oracle demo-model bench bench-gateway bench-peers clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(READY) ## install the virtual environment, Python packages and nginx

$(READY): pyproject.toml .ci/setup $(wildcard locks/*)
	.ci/setup $(VENV)
	touch $@

serve: $(READY) ## serve the demo model, or the one set by NIM_MODEL_NAME or similar variables
	exec ./entrypoint.sh

test: pytest ## run the everyday tests; takes minutes

test-all: lint pytest-all soak-short ## run all that CI runs, including slow tests and faults under load

lint: $(READY) ## run ruff, mypy, import contracts, bandit, gixy, shellcheck, hadolint, yamllint (.pre-commit-config.yaml)
	$(BIN)/pre-commit run --all-files

# Many tests mainly wait for processes, so four run at once. The directories' order is kept: the quick unit tests
# come last and keep all busy until the end. Tests of the real engine need the machine alone.
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder --ignore=tests/e2e -p no:schemathesis
# Where tests of the real engine are. To collect all others as well takes ten seconds each time.
ENGINE_TESTS := tests/contract tests/e2e tests/gateway/test_engine_routes.py tests/oracle

pytest: $(READY)
	status=0; \
	$(BIN)/pytest $(PARALLEL) -m "not slow and not engine and not image and not soak and not peers" || status=1; \
	$(BIN)/pytest $(ENGINE_TESTS) -m "engine and not slow and not own_engine" || status=1; \
	exit $$status

pytest-all: $(READY)
	status=0; \
	$(BIN)/pytest $(PARALLEL) -m "not engine and not image and not soak and not peers" || status=1; \
	$(BIN)/pytest $(ENGINE_TESTS) -m "engine and not own_engine" || status=1; \
	$(BIN)/pytest $(ENGINE_TESTS) -m own_engine || status=1; \
	exit $$status

test-again: $(READY) ## run only the tests that failed last time
	$(BIN)/pytest -m "not image and not soak and not peers" --last-failed --last-failed-no-failures none

test-peers: $(READY) ## install load generators, a router and a linter into bench/.peers, and run them against the service
	$(BIN)/python -m tests.peers.tools
	$(BIN)/pytest -m peers tests/peers

test-latest: $(READY) ## run make test in a clone with the newest packages, to find breakage that the locks hide
	.ci/test-latest $(BIN)/uv

lock: $(READY) ## update locks/ from pyproject.toml; UPGRADE=1 takes the newest packages
	.ci/lock $(BIN)/uv $(if $(UPGRADE),--upgrade)

image: ## build the container image: ENGINE=cpu|gpu BASE=… TAG=… (all in deploy/image/build)
	deploy/image/build

test-image: $(READY) ## build the CPU image on a local Debian base, run it and test it; as root
	.ci/setup-image
	$(BIN)/pytest -m image tests/image

soak: $(READY) ## inject random faults under load: 200 rounds, 10 with the real engine; SOAK_SEED=… for others
	$(BIN)/pytest -m soak tests/soak tests/proxy_soak

soak-short: $(READY) ## run ten fixed rounds of faults in a minute, and ten behind a proxy
	SOAK_SEED=2 SOAK_ROUNDS=10 $(BIN)/pytest -m "soak and not engine" tests/soak tests/proxy_soak

docs: $(READY) ## update the generated reference pages
	$(BIN)/python -m nim.cli.reference_pages

engine-options: $(READY) ## update the data on the installed vLLM: options, catalog, configuration classes
	$(BIN)/python -m nim.engine.generate_option_table
	$(BIN)/python -m nim.engine.inspection

model-oracle: $(READY) ## let vLLM judge changed models again, write docs/models.md; ONLY=NAME for one
	$(BIN)/python -m tests.oracle $(if $(ONLY),"$(ONLY)")
	$(BIN)/python -m tests.oracle.table

demo-model: $(READY) ## train the demo model and its adapters again
	$(BIN)/uv pip install --quiet --python $(BIN)/python 'peft>=0.21'
	$(BIN)/python profiles/demo/build.py

bench: $(READY) ## measure start-up, memory and planning time; prints tables
	$(BIN)/python -m bench.decide
	$(BIN)/python -m bench.start

bench-gateway: $(READY) ## compare the gateway with other proxies (30 minutes)
	$(BIN)/python -m bench.gateway

bench-peers: $(READY) ## install the proxies for bench-gateway into bench/.peers
	$(BIN)/python -m bench.peers.install

clean: ## remove the virtual environment, caches and test images
	umount build/image/root/overlay 2>/dev/null || true
	rm -rf $(VENV) bench/.peers bench/.results build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
