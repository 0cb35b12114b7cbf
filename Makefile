# Two commands for a newcomer: `make run` and `make test`. The rest is for who works on payd.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WHEELS := plugins/mock_provider plugins/stripe_provider plugins/tempo_provider
CODE := payd plugins tests bench deploy examples

.PHONY: help run test check integration browser campaign bench docs lock proto format clean

help: ## What can be made
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml $(WHEELS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "payd needs Python 3.11 or newer")'
	@test -x $(BIN)/python || { echo "Making $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing payd and what it needs (a minute or two, once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(WHEELS:%=--editable %) --editable '.[dev,test]'
	@touch $@

run: $(STAMP) ## Start everything on this machine, a shop in a browser included: payd dev
	@exec $(BIN)/payd dev --with-example $(ARGS)

test: check integration ## The whole suite, checks first

check: $(STAMP) ## Format, lint, types, architecture, fast tests with coverage: under a minute
	@$(BIN)/ruff format --check --quiet $(CODE)
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy payd $(WHEELS) examples/main_app examples/providers/acme/acme_provider examples/providers/sepa/sepa_provider
	@PYTHONPATH=examples:examples/providers/acme:examples/providers/sepa $(BIN)/lint-imports --config setup.cfg
	@$(BIN)/python -m pytest tests/unit tests/walks tests/test_house.py --ignore=tests/unit/cli -q --cov --cov-report=term-missing:skip-covered --cov-fail-under=100

# Three parts side by side, each with servers of its own: they wait more than they compute.
ONE_PART := tests/contract $(addprefix tests/integration/,daemon deploy grpc nats vault)
OTHER_PART := $(addprefix tests/integration/,dev example http stripe tempo) tests/unit/cli
LAST_PART := $(addprefix tests/integration/,client kit plugins)

integration: $(STAMP) ## Everything that talks to real servers, starts processes or opens a browser
	@$(BIN)/python -m pytest $(OTHER_PART) >$(VENV)/other-part.log 2>&1 & other=$$!; \
	{ $(BIN)/python -m pytest $(LAST_PART) && $(BIN)/python -m pytest examples/providers/sepa && $(BIN)/python -m pytest tests/browser; } >$(VENV)/last-part.log 2>&1 & last=$$!; \
	$(BIN)/python -m pytest $(ONE_PART); failed=$$?; \
	wait $$other; failed=$$((failed | $$?)); wait $$last; failed=$$((failed | $$?)); \
	cat $(VENV)/other-part.log $(VENV)/last-part.log; exit $$failed

# In a process of its own: the browser's driver keeps an asyncio loop running in the main thread.
browser: $(STAMP) ## A person pays, in headless Chromium
	@$(BIN)/python -m pytest tests/browser

campaign: $(STAMP) ## The long fault campaign: every crash point, many times
	@$(BIN)/python -m pytest tests/integration -m campaign --campaign

bench: $(STAMP) ## Throughput and latency, side by side with a minimal server
	@$(BIN)/python -m bench

docs: $(STAMP) ## Write docs/configuration.md anew
	@$(BIN)/payd config reference > docs/configuration.md

lock: $(STAMP) ## Lock the image's dependencies anew, by hash
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	@$(BIN)/python deploy/lock.py

proto: $(STAMP) ## Generate code from payment.proto
	@PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpclib_python_out=. payd/proto/payment.proto

format: $(STAMP) ## Format and sort imports
	@$(BIN)/ruff check --quiet --fix --select I $(CODE) || true
	@$(BIN)/ruff format --quiet $(CODE)

clean: ## Remove what was built and what payd dev kept
	@rm -rf $(VENV) .payd build dist *.egg-info plugins/*/*.egg-info plugins/*/build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
