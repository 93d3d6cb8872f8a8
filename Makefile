# Three commands do everything: `make demo`, `make explore` and `make test`. Each makes
# its own environment in .venv from the versions pinned in constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo explore test test-slow test-all lint format bench bench-gpu clean

demo: $(READY)
	$(BIN)/crosslook demo --out demo-run

explore: $(READY)
	$(BIN)/crosslook explore --demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -n 2 -m slow

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

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[models,faiss,remote,ray,web,test,lint]"
	touch $(READY)

clean:
	rm -rf .venv demo-run
