# make lab   set up, check, and open your copy of the course        make test   set up and run every test
PYTHON ?= python3
# Extra words for pip, for example PIP_ARGS="--extra-index-url ..." for a CPU build of PyTorch (see README).
PIP_ARGS ?=
BIN := .venv/bin
# Your own copy of the notebooks, made once and never overwritten.
COURSE ?= my-course
# Jupyter refuses root unless told otherwise; in a container one usually is.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test demo lint bench mutants notebooks exercises picture wheelhouse clean

lab: .venv/.lab
	$(BIN)/icrl-teach doctor
	$(BIN)/icrl-teach start $(COURSE)
	$(BIN)/icrl-teach lab $(COURSE) $(AS_ROOT)

test: .venv/.test
	$(BIN)/python -m pytest tests -n 2 --dist worksteal --cov=icrl_teach --cov-fail-under=95
	$(BIN)/icrl-teach validate lessons solutions --jobs 2

demo: .venv/.lab
	$(BIN)/icrl-teach demo

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.test
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only

# Small random changes of the mathematics: does a test notice each? Slow, so it is no part of `test`.
mutants: .venv/.test
	nice -n 10 $(BIN)/python tools/mutants.py

notebooks: .venv/.test
	$(BIN)/icrl-teach validate --update lessons solutions --jobs 2
	$(BIN)/python tools/notebooks.py exercises

exercises: .venv/.test
	$(BIN)/python tools/notebooks.py exercises

picture: .venv/.lab
	$(BIN)/python tools/picture.py

# All that `pip install` needs, for computers without a network: docs/teaching/before-the-first-class.md
wheelhouse: .venv/.venv
	$(BIN)/python -m pip wheel --quiet --constraint constraints.txt $(PIP_ARGS) --wheel-dir wheelhouse ".[data]"
	cp constraints.txt wheelhouse/

.venv/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This course needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.lab: .venv/.venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable .
	@touch $@

.venv/.test: .venv/.lab
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[test,teach,data]"
	@touch $@

clean:
	rm -rf .venv .hypothesis .ruff_cache .mypy_cache .coverage*
