# Three commands do everything: `make demo`, `make explore` and `make test`. Each puts what it
# needs, and no more, into one environment, .venv, in the versions pinned in constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
# Workers take the tests in order, one from the front and one from the middle, so that what
# tests of one folder share is made once; who has finished takes over from the other.
TWO := -n 2 --dist worksteal
# Where the user's environment forbids bytecode, every process that a test starts would compile
# the package anew.
unexport PYTHONDONTWRITEBYTECODE

# Extras of pyproject.toml by what is done with them; a file .venv/.has-NAME says that they are in.
demo_EXTRAS := demo
explore_EXTRAS := web
test_EXTRAS := models,faiss,remote,sicd,ray,web,test
docs_EXTRAS := $(test_EXTRAS),docs
lint_EXTRAS := remote,web,test,lint
dist_EXTRAS := dist

.PHONY: demo explore test test-slow test-all coverage test-min test-new findings lint format bench bench-compare bench-gpu docs dist qgis clean

demo: .venv/.has-demo
	$(BIN)/crosslook demo --out demo-run

explore: .venv/.has-explore
	$(BIN)/crosslook explore --demo

test: .venv/.has-test
	$(BIN)/python -m pytest $(TWO) -m "not slow"

test-slow: .venv/.has-docs
	$(BIN)/python -m pytest $(TWO) -m slow

test-all: test test-slow

# All tests with every branch of src watched, also in child processes; below fail_under it fails.
coverage: .venv/.has-docs
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(TWO) --timeout 900
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: .venv/.has-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/check_words.py --source

format: .venv/.has-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.has-test
	$(BIN)/python benchmarks

# The same of this tree and of another commit, alternately in one run; what became slower, as a ratio.
BASE ?=
bench-compare: .venv/.has-test
	$(BIN)/python benchmarks/compare.py $(if $(BASE),--base $(BASE))

bench-gpu: .venv/.has-test
	$(BIN)/python benchmarks/gpu.py

# The documentation, executed on simulated pairs, offline; a warning fails it.
docs: .venv/.has-docs
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Wheel and sdist; the wheel installed into nothing runs the lines of README.md.
dist: .venv/.has-dist
	$(BIN)/python tools/check_dist.py --constraint constraints.txt

# The tests with the lowest versions that pyproject.toml allows.
MIN := .venv-min/.ready
test-min: $(MIN)
	.venv-min/bin/python -m pytest $(TWO) -m "not slow"

$(MIN): pyproject.toml constraints-min.txt
	$(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install --quiet --constraint constraints-min.txt --editable ".[models,faiss,remote,sicd,ray,web,test]"
	touch $(MIN)

# The tests on the newest Python with the newest versions of everything that pyproject.toml allows.
# PINS are further requirements, as a build of torch without CUDA.
NEWEST_PYTHON ?= python3.13
PINS ?=
NEW := .venv-new/.ready
test-new: $(NEW)
	.venv-new/bin/python -m pytest $(TWO) -m "not slow"

$(NEW): pyproject.toml
	$(NEWEST_PYTHON) -m venv .venv-new
	.venv-new/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable ".[models,faiss,remote,ray,web,test]" $(PINS)
	touch $(NEW)

# Surprises of other software, each shown by a script that installs it into a temporary folder.
findings:
	@for script in findings/*.sh; do echo "$$script"; bash "$$script" || exit 1; done

# The plugin for QGIS as a zip, for 'Install from ZIP'.
qgis:
	$(PYTHON) integrations/qgis/pack.py

.venv/.has-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what 'make $*' needs into .venv, once; torch, where it is among it, is the largest part."
	$(BIN)/python -m pip install --progress-bar on --constraint constraints.txt --editable ".$(if $($*_EXTRAS),[$($*_EXTRAS)])"
	$(BIN)/python tools/compile_loops.py
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv .venv-min .venv-new demo-run dist docs/_build docs/reference/generated
