# Each target makes the virtual environment it needs. PYTHON chooses the interpreter, VENV the directory.
PYTHON ?= python3
VENV ?= .venv
# For make serve and make mjpeg
PORT ?= 8000
# For each fuzz target
FUZZ_SECONDS ?= 60
FUZZ_OPTIONS ?=
# For make sanitize
SANITIZE_SECONDS ?= 600
# For make dist
PYTHONS ?=
# For make bench and bench-quick, such as --check
BENCH_OPTIONS ?=

bin := $(VENV)/bin
base := $(VENV)/.stamp-base
pip_install := $(bin)/python -m pip install --quiet --disable-pip-version-check
typed := $(wildcard aiomultipart tests/typing examples benchmarks fuzz)
# Python's own -W cannot name pytest's classes, pytest's can. Under -OO pytest says that asserts outside test
# modules do nothing; the library has none.
no_assert_warning := -W error -W "ignore:assertions not in test modules:pytest.PytestConfigWarning"
# A file of tests stays in one process, where its fixtures are.
pytest := $(bin)/python -m pytest -W error
parallel := --dist loadfile -n auto
coverage := COVERAGE_FILE=$(VENV)/.coverage $(bin)/python -m coverage
# No branch of these is left out; of the whole package 98 % are taken.
covered := aiomultipart/codecs/*,aiomultipart/grammar/*,aiomultipart/parser/*

spelled := README.rst CONTRIBUTING.rst SECURITY.md CHANGES.rst CHANGES docs aiomultipart examples benchmarks Makefile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo serve mjpeg test test-all coverage lint docs bench bench-quick dist fuzz sanitize mutants clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.stamp-examples ## show what it does: a message in four ways, then a gigabyte; a quarter of a minute
	@$(bin)/python examples/demo.py

serve: $(VENV)/.stamp-examples ## run examples/upload_server at http://127.0.0.1:PORT/
	@echo "Open http://127.0.0.1:$(PORT)/ and press Ctrl+C to stop."
	@$(bin)/python -m uvicorn --app-dir examples/upload_server --port $(PORT) --timeout-graceful-shutdown 5 app:app

mjpeg: $(VENV)/.stamp-examples ## run examples/mjpeg_server.py at http://127.0.0.1:PORT/
	@echo "Open http://127.0.0.1:$(PORT)/ and press Ctrl+C to stop."
	@$(bin)/python examples/mjpeg_server.py --port $(PORT)

test: $(VENV)/.stamp-test ## run the tests, warnings being errors
	$(pytest) $(parallel)

test-all: coverage ## run the tests as "make coverage" does, then again without asserts and docstrings, and some without the accelerator
	$(bin)/python -OO -W error -m pytest -q $(no_assert_warning)
	AIOMULTIPART_NO_EXTENSIONS=1 $(pytest) $(parallel) -q tests/parser tests/forms tests/reading

coverage: $(VENV)/.stamp-test ## run the tests, and fail if they leave too many branches out
	$(coverage) run -m pytest -W error
	$(coverage) report
	$(coverage) report --fail-under=100 --include="$(covered)"

lint: $(VENV)/.stamp-lint ## ruff, mypy, pyright, spelling, the change fragments, and the documentation
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy --strict $(typed)
	$(bin)/pyright --pythonpath $(bin)/python
	$(bin)/python .ci/docs_code.py
	$(bin)/codespell $(spelled)
	$(bin)/towncrier build --draft > /dev/null
	@$(MAKE) --no-print-directory docs

docs: $(VENV)/.stamp-docs ## build the documentation into docs/_build/html
	$(bin)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.stamp-bench ## compare with other packages, in five minutes; writes docs/explanation/performance.rst
	$(bin)/python -m benchmarks $(BENCH_OPTIONS)

bench-quick: $(VENV)/.stamp-bench ## the same in one minute: a glance, no proof
	$(bin)/python -m benchmarks --quick $(BENCH_OPTIONS)

fuzz: $(VENV)/.stamp-fuzz ## fuzz each target for FUZZ_SECONDS; needs Python 3.11
	$(bin)/python -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_OPTIONS)

sanitize: $(VENV)/.stamp-test ## the parser's tests, and SANITIZE_SECONDS of random messages, over an accelerator with sanitizers
	$(bin)/python .ci/sanitize.py $(SANITIZE_SECONDS)

mutants: $(VENV)/.stamp-mutants ## mutation testing of the parser and the header grammar; takes half an hour
	$(bin)/python .ci/mutants.py

dist: $(VENV)/.stamp-dist ## build what is released, and try it in empty environments of each of PYTHONS
	$(bin)/python .ci/dist.py $(PYTHONS)

clean: ## remove environments, caches and built files
	rm -rf .venv .venv-* docs/_build build dist htmlcov mutants .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f aiomultipart/*.so aiomultipart/*.so.new aiomultipart/*.pyd
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(base):
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) not found: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "aiomultipart needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
		echo "Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(pip_install) --upgrade "pip>=25.1"
	@touch $@

# The accelerator is compiled anew when its source has changed; without a compiler there is none.
$(VENV)/.stamp-%: $(base) pyproject.toml hatch_build.py aiomultipart/_accelerator.c
	$(pip_install) --editable . --group $*
	@touch $@
