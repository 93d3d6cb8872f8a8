# Three commands do everything: `make demo`, `make explore` and `make test`. Each makes
# its own environment in .venv from the versions pinned in constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready
# Workers take the tests in order, one from the front and one from the middle, so that what
# tests of one folder share is made once; who has finished takes over from the other.
TWO := -n 2 --dist worksteal

.PHONY: demo explore test test-slow test-all test-min lint format bench bench-gpu docs dist qgis clean

demo: $(READY)
	$(BIN)/crosslook demo --out demo-run

explore: $(READY)
	$(BIN)/crosslook explore --demo

test: $(READY)
	$(BIN)/python -m pytest $(TWO) -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest $(TWO) -m slow

test-all: test test-slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks

bench-gpu: $(READY)
	$(BIN)/python benchmarks/gpu.py

# The documentation, executed on simulated pairs, offline; a warning fails it.
docs: $(READY)
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Wheel and sdist; the wheel installed into nothing runs the lines of README.md.
dist: $(READY)
	$(BIN)/python tools/check_dist.py --constraint constraints.txt

# The tests with the lowest versions that pyproject.toml allows.
MIN := .venv-min/.ready
test-min: $(MIN)
	.venv-min/bin/python -m pytest $(TWO) -m "not slow"

$(MIN): pyproject.toml constraints-min.txt
	$(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install --quiet --constraint constraints-min.txt --editable ".[models,faiss,remote,ray,test]"
	touch $(MIN)

# The plugin for QGIS as a zip, for 'Install from ZIP'.
qgis:
	$(PYTHON) integrations/qgis/pack.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[models,faiss,remote,ray,web,test,lint,docs,dist]"
	touch $(READY)

clean:
	rm -rf .venv .venv-min demo-run dist docs/_build docs/reference/generated
