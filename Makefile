# Everything runs in one virtual environment that the first call builds.
VENV ?= .venv
PYTHON ?= python3
RUN = $(VENV)/bin/python -m

.PHONY: install demo test lint docs bench-extraction bench-masking bench-overhead bench-disentangle bench-event-files validity references reliability

# pip compiles on one core: left to itself it takes a minute longer. A few files of other packages are no Python 3; a
# third of all are other packages' tests and the models of transformers, of which next to none is ever imported.
NOT_COMPILED = site-packages/(.*/tests?|transformers/models|pip|mypy|mypyc|setuptools|pygments/lexers)/
install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[experiments,dev]'
	$(RUN) compileall -qq -j 0 -x '$(NOT_COMPILED)' $(VENV)/lib || true
	touch $@

# ARGS goes to the command line, e.g. make demo ARGS="--n 10"
demo: install
	$(RUN) experiments fit --config configs/quickstart.yaml $(ARGS)

# One process a core, one thread a process: threads of several processes block each other.
test: install
	OMP_NUM_THREADS=1 $(RUN) pytest --numprocesses auto $(ARGS)

lint: install
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

bench-extraction: install
	$(VENV)/bin/python benchmarks/extraction.py $(ARGS)

bench-masking: install
	$(VENV)/bin/python benchmarks/masking.py $(ARGS)
	$(VENV)/bin/python benchmarks/ranks.py
	$(VENV)/bin/python benchmarks/compiled.py
	$(VENV)/bin/python benchmarks/engine_page.py

bench-overhead: install
	$(VENV)/bin/python benchmarks/overhead.py $(ARGS)
	$(VENV)/bin/python benchmarks/engine_page.py

bench-disentangle: install
	$(VENV)/bin/python benchmarks/disentangle.py $(ARGS)

bench-event-files: install
	$(VENV)/bin/python benchmarks/event_files.py $(ARGS)

# Whether the fits and the phases are right where the truth is known; takes hours.
validity: install
	$(VENV)/bin/python benchmarks/validity.py $(ARGS)

# Reads the runs that `python -m experiments reproduce` has left.
references: install
	$(VENV)/bin/python benchmarks/references.py $(ARGS)

# Every test behind the page about reliability, also those that take minutes; then the page.
reliability: install
	$(VENV)/bin/python docs/reliability.py --long $(ARGS)

docs: install
	$(RUN) mkdocs build --strict $(ARGS)
