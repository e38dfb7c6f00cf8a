# `make` or `make help` lists what there is.

# The first Python that is new enough and can make virtual environments. 3.13 comes late because
# the embedded Redis has no ready-made package for it: it is then compiled, which needs a compiler.
PYTHON ?= $(shell for name in python3.12 python3.11 python3.13 python3; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$name; break; }; done)

# .venv is made anew whenever a lock file changes: its stamps are named by the locks' checksums.
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUN_STAMP := .venv/.run-$(shell cksum < requirements.lock | cut -d ' ' -f 1)
DEV_STAMP := .venv/.dev-$(shell cksum < requirements-dev.lock | cut -d ' ' -f 1)

COMPILE = .venv/lock/bin/pip-compile --quiet $(UPGRADE) --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-find-links --no-header --build-deps-for=editable

# Some machines forbid it: every process would then compile all of our modules anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help run test lint format soak bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN_STAMP) ## set up and start everything, with a demo chain (Ctrl-C stops it)
	@exec $(BIN)/bonus up

test: lint ## all checks and tests, with PostgreSQL and Redis of their own
	$(BIN)/pytest -m "not soak" --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: $(DEV_STAMP) ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_STAMP) ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(DEV_STAMP) ## kill and restart everything under load, for long
	$(BIN)/pytest -m soak

bench: $(DEV_STAMP) ## measure the speed, as a table
	$(BIN)/python -m bench

lock: ## write the lock files anew from pyproject.toml (UPGRADE=--upgrade for newer versions)
	@$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet pip-tools
	@$(COMPILE) --extra embedded --extra parquet --output-file requirements.lock pyproject.toml
	@$(COMPILE) --extra embedded --extra parquet --extra dev --constraint requirements.lock \
		--output-file requirements-dev.lock pyproject.toml
	@$(COMPILE) --extra parquet --constraint requirements.lock \
		--output-file requirements-prod.lock pyproject.toml

clean: ## stop what a killed run left and forget the data (.data), nothing else
	@if [ -x $(BIN)/bonus ]; then $(BIN)/python -m billing.app.forget; \
	else rm -rf .data && echo "Removed .data."; fi

$(RUN_STAMP):
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 or newer with venv is here. Install one (on" \
		"Debian: python3 and python3-venv), or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Setting up .venv with $(PYTHON), once ..."
	@$(PYTHON) -m venv --clear .venv
	@echo "Installing what requirements.lock names ..."
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "Installing what requirements-dev.lock adds ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@
