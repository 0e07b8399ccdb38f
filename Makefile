# make lab   set up, check, and open your copy of the course        make test   set up and run every test
PYTHON ?= python3
# Extra words for pip, for example PIP_ARGS="--extra-index-url ..." for a CPU build of PyTorch (see README).
PIP_ARGS ?=
# Extra words for pytest. CI counts the lines that tests run: PYTEST_ARGS="--cov=icrl_teach --cov-fail-under=95".
PYTEST_ARGS ?=
BIN := .venv/bin
# Your own copy of the notebooks, made once and never overwritten.
COURSE ?= my-course
# Jupyter refuses root unless told otherwise; in a container one usually is.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test demo lint bench mutants notebooks exercises picture wheelhouse slides site site-serve site-test hub-test clean

lab: .venv/.lab
	$(BIN)/icrl-teach doctor
	$(BIN)/icrl-teach start $(COURSE)
	$(BIN)/icrl-teach lab $(COURSE) $(AS_ROOT)

test: .venv/.test
	$(BIN)/python -m pytest tests -n 2 --dist worksteal $(PYTEST_ARGS)
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
	$(BIN)/python tools/lake.py

# A deck a lesson, which opens from the disk: build/slides/index.html
slides: .venv/.test tools/slides/node_modules/.package-lock.json
	$(BIN)/python tools/slides.py build/slides

# All that `pip install` needs, for computers without a network: docs/teaching/before-the-first-class.md
wheelhouse: .venv/.venv
	$(BIN)/python -m pip wheel --quiet --constraint constraints.txt $(PIP_ARGS) --wheel-dir wheelhouse ".[data]"
	cp constraints.txt wheelhouse/

# The course as pages, in build/site: open its index.html. Needs npm once, for what the pages ship.
site: .venv/.site site/node_modules/.package-lock.json slides
	$(BIN)/python site/stage.py build/site-source
	$(BIN)/sphinx-build -W --keep-going -n -q -c site -b html build/site-source build/site
	rm -rf build/site/slides && cp -r build/slides build/site/slides

site-serve: site
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8000

# In a real browser, on the pages that `make site` built; no part of `test`.
site-test: .venv/.site
	$(BIN)/python -m pytest tests/site -n 2 -q

# A real JupyterHub on loopback, as deploy/ configures it: three learners in three browsers.
hub-test: .venv/.hub deploy/node_modules/.package-lock.json
	$(BIN)/python -m pytest tests/hub -q

.venv/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' || \
		{ echo "This course needs Python 3.11.5 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.lab: .venv/.venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable .
	@touch $@

.venv/.test: .venv/.lab
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[test,teach,data]"
	@touch $@

.venv/.site: .venv/.test
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[site]"
	@touch $@

.venv/.hub: .venv/.test
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[hub]"
	@touch $@

deploy/node_modules/.package-lock.json: deploy/package-lock.json
	npm ci --prefix deploy --no-audit --no-fund --loglevel=error
	@touch $@

site/node_modules/.package-lock.json: site/package-lock.json
	npm ci --prefix site --no-audit --no-fund --loglevel=error
	@touch $@

tools/slides/node_modules/.package-lock.json: tools/slides/package-lock.json
	npm ci --prefix tools/slides --no-audit --no-fund --loglevel=error
	@touch $@

clean:
	rm -rf build/site build/site-source build/frames site/node_modules build/slides tools/slides/node_modules deploy/node_modules
	rm -rf .venv .hypothesis .ruff_cache .mypy_cache .coverage*
