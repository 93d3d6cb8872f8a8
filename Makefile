# Two commands do everything: `make demo` and `make test`. Both make their own
# environment in .venv from the versions pinned in constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint format bench bench-gpu clean

demo: $(READY)
	$(BIN)/crosslook demo --out demo-run

test: $(READY)
	$(BIN)/python -m pytest -n 2

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
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[models,faiss,remote,ray,test,lint]"
	touch $(READY)

clean:
	rm -rf .venv demo-run
