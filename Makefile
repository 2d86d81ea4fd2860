# Everything runs in one virtual environment that the first call builds.
VENV ?= .venv
PYTHON ?= python3
RUN = $(VENV)/bin/python -m

.PHONY: install demo test lint bench-extraction

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[experiments,dev]'
	touch $@

# ARGS goes to the command line, e.g. make demo ARGS="--n 10"
demo: install
	$(RUN) experiments fit --config configs/quickstart.yaml $(ARGS)

test: install
	$(RUN) pytest $(ARGS)

lint: install
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

bench-extraction: install
	$(VENV)/bin/python benchmarks/extraction.py $(ARGS)
