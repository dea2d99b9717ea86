# `make demo` and `make test`; all commands set up .venv from constraints.txt first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint docs dist bench tools clean

$(READY): pyproject.toml setup.py constraints.txt $(wildcard kernels/*.cpp kernels/*.h)
	$(PYTHON) -c "import sys; sys.exit('gsigpu needs Python 3.11 or newer; run make PYTHON=python3.12' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/gsigpu demo demo-output --overwrite

# Everything the CI holds: lint, strict types, doctests, tests, the CUDA compile check, conformance.
# Tools come from another place than packages, and types need no tool: the two go side by side.
test:
	$(MAKE) --jobs 2 tools lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# The documentation as a site that reads offline: docs/_build/html/index.html. A warning is an error.
docs: $(READY)
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# The sdist and the wheel, in dist/.
dist: $(READY)
	$(BIN)/python -m build

# Every ratio of speed on this processor; results in bench/results/, one file per question and processor.
bench: $(READY)
	$(BIN)/python bench/run_all.py

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The conformance tests use Debian's dicom3tools and dcmtk. They are installed where apt-get and the
# rights to use it are there; elsewhere those tests are skipped, and say so.
tools:
	@sh tests/install-tools.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis demo-output docs/_build docs/project docs/reference/generated
