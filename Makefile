# Each target makes the virtual environment it needs. PYTHON chooses the interpreter, VENV the directory.
PYTHON ?= python3
VENV ?= .venv

bin := $(VENV)/bin
base := $(VENV)/.stamp-base
pip_install := $(bin)/python -m pip install --quiet --disable-pip-version-check
typed := $(wildcard aiomultipart tests/typing examples benchmarks)
# Python's own -W cannot name pytest's classes, pytest's can. Under -OO pytest says that asserts outside test
# modules do nothing; the library has none.
no_assert_warning := -W error -W "ignore:assertions not in test modules:pytest.PytestConfigWarning"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.stamp-examples ## run examples/quickstart.py
	$(bin)/python examples/quickstart.py

test: $(VENV)/.stamp-test ## run the tests, warnings being errors, then again without asserts and docstrings
	$(bin)/python -m pytest -W error
	$(bin)/python -OO -W error -m pytest -q $(no_assert_warning)

lint: $(VENV)/.stamp-lint ## ruff, mypy, the change fragments, and the documentation
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy --strict $(typed)
	$(bin)/towncrier build --draft > /dev/null
	@$(MAKE) --no-print-directory docs

docs: $(VENV)/.stamp-docs ## build the documentation into docs/_build/html
	$(bin)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.stamp-bench ## run the benchmarks
	$(bin)/python -m benchmarks

clean: ## remove environments, caches and built files
	rm -rf .venv .venv-* docs/_build build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(base):
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) not found: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "aiomultipart needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
		echo "Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(pip_install) --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.stamp-%: $(base) pyproject.toml
	$(pip_install) --editable . --group $*
	@touch $@
