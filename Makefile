# Every target works from a fresh clone: it needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install test faults check servers stack demo demo-fraud lock clean

install: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Headrace needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

test: check servers
	$(BIN)/python -m pytest

# Servers and roles killed during a run, and the inventory on both profiles in all its processes.
faults: check servers
	$(BIN)/python -m pytest -m faults

# What cannot be installed here is named, and the tests that need it are skipped (where CI is set they fail).
servers: install
	-$(BIN)/headrace stack install

stack: install
	$(BIN)/headrace stack up

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: install
	$(BIN)/python examples/inventory/demo.py

# With a PostgreSQL of the stack, or the one that PGHOST names.
demo-fraud: install
	$(BIN)/python examples/fraud/demo.py

lock: install
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --extra dev pyproject.toml -o requirements.lock
	grep -A60 '^uv==' requirements.lock | awk '/^[a-z]/ && !/^uv==/ {exit} {print}' > requirements.uv.lock

clean:
	rm -rf .venv .headrace examples/*/.headrace examples/*/data
	rm -rf .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +
