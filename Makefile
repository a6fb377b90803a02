# make demo: set up, then run the study `mini` on this machine and show its Table 4.
# make test: set up, then run all tests.
# make test-cluster: inject faults into a one-node SLURM, minutes each (root; apt-get install slurm-wlm munge).
# A laptop without a GPU saves gigabytes with the CPU build of PyTorch:
#   make demo PIP_INSTALL="pip install --extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
CORES ?= 2
VENV := .venv
PIP_INSTALL ?= pip install
# One thread a job: two jobs of one thread beat one job of two on matrices of this size.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-cluster lint clean
.DEFAULT_GOAL := demo

demo: $(VENV)/runtime
	@$(VENV)/bin/python -m scripts.demo --cores $(CORES)

test: $(VENV)/development
	@$(VENV)/bin/python -m pytest --numprocesses $(CORES) --dist loadfile --durations=10

test-cluster: $(VENV)/development
	@SCBENCH_TEST_FAULTS=1 $(VENV)/bin/python -m pytest --verbose tests/slurm

lint: $(VENV)/development
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(VENV)/bin/snakemake --lint

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; run make PYTHON=python3.11 (or newer)" >&2; exit 1; }
	@echo "Setting up $(VENV) (once): PyTorch, transformers, Snakemake and what they need."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: requirements.lock | $(VENV)/bin/python
	@$(VENV)/bin/python -m $(PIP_INSTALL) --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@

$(VENV)/development: requirements-dev.lock $(VENV)/runtime
	@$(VENV)/bin/python -m $(PIP_INSTALL) --quiet --disable-pip-version-check --requirement requirements-dev.lock
	@touch $@

clean:
	rm -rf results figures logs .snakemake
