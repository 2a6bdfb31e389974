# Every verb makes .venv first when it is missing or older than what it is made from.
.PHONY: setup report fleet test check lab bench airflow
.DEFAULT_GOAL := report

BIN := .venv/bin
STAMP := .venv/.setup
PYTHON ?= python3
# the week to report, such as 2026-W47; left out: the last complete one
WEEK ?=

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "flowperf needs Python 3.11 or later; name one: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

report: $(STAMP)
	$(BIN)/flowperf weekly --account sandbox --out out $(if $(WEEK),--week $(WEEK))

# forty invented accounts, two of them broken on purpose, which is what exit code 6 says
fleet: $(STAMP)
	$(BIN)/flowperf fleet --sandbox 40 --out out/fleet || [ $$? -eq 6 ]

test: $(STAMP)
	$(BIN)/pytest -n 2 --dist loadgroup

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Airflow, apart from our environment as it pins what we do not: the tests then load the DAGs in it
airflow: .venv/airflow/bin/airflow

.venv/airflow/bin/airflow: $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/airflow
	$(BIN)/uv pip install --quiet --python .venv/airflow/bin/python apache-airflow==3.3.2 --editable .
	@touch $@

lab: $(STAMP)
	$(BIN)/jupyter lab notebooks

# all of them, also when one misses its goal; which did is said at the end
bench: $(STAMP)
	@missed=; for script in tests/bench/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || missed="$$missed $$script"; done; \
	[ -z "$$missed" ] || { echo "missed a goal or failed:$$missed"; exit 1; }
