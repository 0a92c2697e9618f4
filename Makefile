# One command for each thing a person does with this project; `make` alone lists them.
# Needs GNU make, sh and a Python 3.11 or newer (found by name, or: make PYTHON=/path/to/python3 demo).

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready-test
READY_DOCS := $(VENV)/.ready-docs
QUICKSTART := notebooks/01_quickstart.ipynb
QUICK_TESTS := tests/test_layers.py tests/test_exports.py tests/test_house.py tests/core tests/tools
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo lab test check format docs bench notebooks outputs js js-check weights clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@PYTHON='$(PYTHON)' sh scripts/venv.sh test
	@touch $@

$(READY_DOCS): pyproject.toml | $(READY)
	@PYTHON='$(PYTHON)' sh scripts/venv.sh docs
	@touch $@

weights: $(READY) ## fetch the embedded model (98 MB) if it is not there
	@$(BIN)/gathering models pull

demo: weights ## run the quickstart against the embedded model and show what came out
	@$(PY) scripts/notebooks.py demo $(QUICKSTART)

lab: weights ## open the quickstart in JupyterLab
	@$(BIN)/jupyter lab $(QUICKSTART)

test: weights ## run every test there is, with coverage
	@sh scripts/js_check.sh
	@$(PY) tests/browser/find_chromium.py --install
	@rm -f .coverage .coverage.*
	@mkdir -p build
	@$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadscope -q; status=$$?; \
	$(BIN)/coverage combine -q; $(BIN)/coverage report >build/coverage.txt; \
	echo "coverage: $$($(BIN)/coverage report --format=total)% (by module: build/coverage.txt)"; \
	exit $$status

check: $(READY) ## format, lint, types, import rules and the quick tests: under a minute
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy gathering tests/typing
	@$(PY) -m pytest -n $(WORKERS) --dist loadscope -q $(QUICK_TESTS)

format: $(READY) ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

docs: $(READY_DOCS) ## build the documentation into build/docs
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs
	@echo "documentation: build/docs/index.html"

bench: $(READY) ## measure against raw httpx, side by side
	@$(PY) benchmarks/run.py all

notebooks: weights ## record the tapes again and write the notebooks' outputs from them
	@$(PY) scripts/notebooks.py record notebooks/*.ipynb

outputs: $(READY) ## write the notebooks' outputs again from the tapes that are there (asks no model)
	@$(PY) scripts/notebooks.py outputs notebooks/*.ipynb

js/node_modules: js/package-lock.json
	@cd js && npm ci --silent --no-audit --no-fund
	@touch $@

js: js/node_modules ## build the panels' page again (needs Node 20; nobody who only uses the package does)
	@cd js && node build.mjs

js-check: ## types, lint and tests of the page, and whether the built one is what its source gives
	@sh scripts/js_check.sh

clean: ## remove what the other targets made, except .venv/
	@rm -rf build dist htmlcov docs/notebooks .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find gathering tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
