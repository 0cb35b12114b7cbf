# Two commands for a newcomer: `make run` and `make test`. The others are for payd's developers.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WHEELS := client plugins/mock_provider plugins/stripe_provider plugins/tempo_provider
# Hundreds of processes start in the tests: none of them compiles what another one has compiled.
export PYTHONDONTWRITEBYTECODE :=
CODE := payd client proto plugins tests bench deploy docs examples requirements
# `make run` needs less than `make test`, and is there sooner.
FOR_RUN := $(VENV)/.installed-dev
FOR_TEST := $(VENV)/.installed-test
FOR_DOCS := $(VENV)/.installed-docs

.PHONY: help run test check core units lint integration daemon-part console-part card-part chain-part kit-part app-part server-part waiting-part fast pythons test-newest browser pictures simulate torture mutants campaign bench bench-full bench-page reference docs docs-links lock proto format clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14) and "payd runs on Python 3.11, 3.12 and 3.13, this is " + sys.version.split()[0] + ": name another one, for example make run PYTHON=python3.12")'
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: requirements/%.lock requirements/build.lock pyproject.toml $(WHEELS:%=%/pyproject.toml) | $(BIN)/python
	@echo "Installing payd and its locked dependencies …"
	@$(BIN)/python requirements/install.py $* --editable . $(WHEELS)
	@touch $@

run: $(FOR_RUN) ## Start everything on this machine, with a shop for the browser: payd dev
	@exec $(BIN)/payd dev --with-example $(ARGS)

# Each of these is a pytest process with servers of its own, and they wait as much as they compute:
# side by side they take less time. The longest start first, so that none is alone at the end. The
# output of each appears whole, when it has ended.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --keep-going --output-sync=target

test: $(FOR_TEST) ## The whole suite: make check and make integration
	@$(SIDE_BY_SIDE) --jobs=6 daemon-part card-part server-part kit-part core waiting-part app-part chain-part console-part units lint

integration: $(FOR_TEST) ## Everything that talks to real servers, starts processes or opens a browser
	@$(SIDE_BY_SIDE) --jobs=6 daemon-part card-part server-part kit-part waiting-part app-part chain-part console-part

check: $(FOR_TEST) ## make lint, and the fast tests with coverage of the core
	@$(SIDE_BY_SIDE) --jobs=3 lint core units

# Only the tests of the core are measured: tracing would slow down all the others, too.
CORE := tests/unit/domain tests/unit/service tests/walks
UNITS := tests/unit tests/simulation tests/test_house.py tests/test_language.py $(addprefix --ignore=tests/unit/,cli domain service)

core: $(FOR_TEST)
	@$(BIN)/python -m pytest $(CORE) -q --cov --cov-report=term-missing:skip-covered --cov-fail-under=100

units: $(FOR_TEST)
	@$(BIN)/python -m pytest $(UNITS) -q

lint: $(FOR_TEST) ## Format, lint, types and architecture
	@$(BIN)/ruff format --check --quiet $(CODE)
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy payd $(WHEELS) bench examples/main_app examples/providers/acme/acme_provider examples/providers/sepa/sepa_provider tests
	@PYTHONPATH=examples:examples/providers/acme:examples/providers/sepa $(BIN)/lint-imports setup.cfg

DAEMON_PART := tests/integration/daemon
CONSOLE_PART := $(addprefix tests/integration/,console deploy)
CARD_PART := tests/integration/stripe
CHAIN_PART := tests/integration/tempo tests/unit/cli
KIT_PART := tests/integration/kit
APP_PART := $(addprefix tests/integration/,client example)
SERVER_PART := tests/contract $(addprefix tests/integration/,dev grpc http nats plugins upgrade vault)
WAITING_PART := tests/integration/degraded tests/torture

daemon-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(DAEMON_PART)

console-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(CONSOLE_PART)

card-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(CARD_PART)

chain-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(CHAIN_PART)

server-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(SERVER_PART)

# Three minutes of outages: a third of a core, the rest is waiting.
waiting-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(WAITING_PART)

kit-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(KIT_PART)
	@$(BIN)/python -m pytest examples/providers/sepa

# The browser's driver keeps an asyncio loop running in the main thread of its process.
app-part: $(FOR_TEST)
	@$(BIN)/python -m pytest $(APP_PART)
	@$(BIN)/python -m pytest tests/browser

# The tests that depend on the interpreter; `make pythons` runs them on each.
fast: $(FOR_TEST) ## Unit, walk, simulated, contract and degraded-mode tests, without coverage
	@$(BIN)/python -m pytest tests/unit tests/walks tests/simulation tests/test_house.py tests/test_language.py --ignore=tests/unit/cli -q
	@$(BIN)/python -m pytest tests/unit/cli tests/contract tests/integration/degraded -q

pythons: ## make fast on every other supported Python of this machine
	@PYTHON=$(PYTHON) .ci/pythons

test-newest: ## make fast with the newest versions that pyproject.toml allows, not the locked ones
	@$(MAKE) --no-print-directory VENV=.venv-newest .venv-newest/.installed-test
	@.venv-newest/bin/python -m uv pip install --quiet --python .venv-newest/bin/python --upgrade \
		$(TEST_EXTRAS:%=--extra %) -r pyproject.toml $(WHEELS:%=-r %/pyproject.toml)
	@$(MAKE) --no-print-directory VENV=.venv-newest fast

browser: $(FOR_TEST) ## A person pays, in headless Chromium
	@$(BIN)/python -m pytest tests/browser

pictures: $(FOR_TEST) ## Renew docs/pictures from what the browser tests see
	@PAYD_KEEP_PICTURES=1 $(BIN)/python -m pytest tests/browser -q -k 'every_state or a_card_is_paid or every_page'
	@PYTHONPATH=tests $(BIN)/python -m support.docs_pictures

campaign: $(FOR_TEST) ## The long campaigns: every crash point many times, and new examples for every property
	@HYPOTHESIS_PROFILE=campaign $(BIN)/python -m pytest tests/unit tests/walks --ignore=tests/unit/cli -q
	@$(BIN)/python -m pytest tests/unit tests/contract tests/simulation tests/torture tests/integration -m campaign --campaign

simulate: $(FOR_TEST) ## Days of faults on virtual time: SEEDS=1000, SEED=7 for one history in words, DEFECTS=1
	@PYTHONPATH=tests $(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),100)) $(if $(DEFECTS),--defects)

torture: $(FOR_TEST) ## Payments while real servers break, every few seconds: MINUTES=60, SEED=7
	@PYTHONPATH=tests $(BIN)/python -m torture --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

# In an environment of its own: its tool needs libraries that nothing else of payd needs.
mutants: ## Change the core's code a little, thousands of times: do tests fail? MUTANTS='payd.service.recover.*'
	@$(MAKE) --no-print-directory VENV=.venv-mutants .venv-mutants/.installed-test
	@.venv-mutants/bin/python -m uv pip install --quiet --python .venv-mutants/bin/python \
		--require-hashes -r requirements/mutants.lock
	@.venv-mutants/bin/mutmut run $(MUTANTS)
	@.venv-mutants/bin/mutmut results | sed '/: not checked$$/d'

bench: $(FOR_TEST) ## Throughput, latency and CPU beside minimal servers; 15 minutes at most
	@$(BIN)/python -m bench $(ARGS)

bench-full: $(FOR_TEST) ## make bench, ten million payments, query plans and a soak; hours, 40 GB of disk
	@$(BIN)/python -m bench --full $(ARGS)

bench-page: $(FOR_TEST) ## Make docs/benchmarks.md and its charts from the last results
	@$(BIN)/python -m bench.page $(ARGS)

reference: $(FOR_TEST) ## Generate docs/configuration.md from the settings
	@$(BIN)/payd config reference > docs/configuration.md

docs: $(FOR_DOCS) ## Build the documentation into build/docs; every warning is an error
	@$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs build/docs
	@echo "build/docs/index.html"

docs-links: $(FOR_DOCS) ## Check the documentation's external links; needs the network
	@$(BIN)/python -m sphinx --quiet -b linkcheck docs build/docs-links

# One resolution for every supported Python; the smaller locks take their versions from the largest.
RESOLVE = $(BIN)/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-annotate --no-header
IN_IMAGE := client plugins/stripe_provider plugins/tempo_provider
FROM := -c requirements/test.lock
# Every extra but `docs`, which has a lock of its own.
TEST_EXTRAS := dev kit test otel trio nkey redis vault
lock: $(FOR_TEST) ## Renew the lock files: the newest versions that pyproject.toml allows
	@$(RESOLVE) $(TEST_EXTRAS:%=--extra %) pyproject.toml $(WHEELS:%=%/pyproject.toml) -o requirements/test.lock
	@$(RESOLVE) $(FROM) --extra dev --extra kit pyproject.toml $(WHEELS:%=%/pyproject.toml) -o requirements/dev.lock
	@$(RESOLVE) $(FROM) pyproject.toml $(IN_IMAGE:%=%/pyproject.toml) -o requirements/run.lock
	@$(RESOLVE) $(FROM) --extra otel pyproject.toml $(IN_IMAGE:%=%/pyproject.toml) -o requirements/otel.lock
	@$(RESOLVE) $(FROM) --extra docs --extra kit pyproject.toml $(WHEELS:%=%/pyproject.toml) -o requirements/docs.lock
	@$(RESOLVE) $(FROM) requirements/build.in -o requirements/build.lock
	@$(RESOLVE) $(FROM) requirements/installer.in -o requirements/installer.lock
	@$(RESOLVE) $(FROM) requirements/mutants.in -o requirements/mutants.lock

proto: $(FOR_TEST) ## Generate the client's code from proto/payment.proto
	@$(BIN)/python proto/generate.py

format: $(FOR_TEST) ## Format and sort imports
	@$(BIN)/ruff check --quiet --fix --select I $(CODE) || true
	@$(BIN)/ruff format --quiet $(CODE)

clean: ## Remove what was built and what payd dev kept
	@rm -rf .venv .venv-* .payd build dist mutants *.egg-info client/*.egg-info client/build plugins/*/*.egg-info plugins/*/build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
