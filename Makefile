# The two commands: `make demo` and `make test`. Both set up what they need in .venv first.

PYTHON ?= python3
CORES ?= $(shell nproc)
BIN := .venv/bin
SHELL := /bin/bash

.PHONY: demo install install-dev test test-full test-kubernetes lint format docs lock clean docs/images/rules.svg docs/images/app.png

# --- running -----------------------------------------------------------------------------------------------------------

demo: .venv/run.ok
	@$(BIN)/snakemake --cores $(CORES)

install: .venv/run.ok

.venv/run.ok: requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Maskmill needs Python 3.11 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements/run.txt setuptools==$(SETUPTOOLS)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

SETUPTOOLS := $(shell sed -n 's/^setuptools==//p' requirements/dev.txt)

# --- developing --------------------------------------------------------------------------------------------------------

install-dev: .venv/dev.ok

.venv/dev.ok: .venv/run.ok requirements/dev.txt
	$(BIN)/pip install --quiet --requirement requirements/dev.txt
	touch $@

test: .venv/dev.ok lint
	$(BIN)/pytest -m "not slow"

test-full: .venv/dev.ok .venv/tensorrt.ok lint
	$(BIN)/pytest

# proprietary wheels of some hundred megabytes, which build engines without a GPU; --no-deps, as run.txt has what they need
.venv/tensorrt.ok: .venv/dev.ok requirements/tensorrt-rtx.txt
	$(BIN)/pip install --quiet --no-deps --requirement requirements/tensorrt-rtx.txt \
		|| echo "TensorRT-RTX cannot be installed here: its tests are skipped"
	touch $@

# SLURM for real: its daemons on this machine, from Debian's packages, which only root may install and start
.PHONY: test-cluster slurm-packages
test-cluster: .venv/slurm.ok
	@for package in $(SLURM); do dpkg -s $$package; done >/dev/null 2>&1 || $(MAKE) --no-print-directory slurm-packages
	$(BIN)/pytest tests/cluster

SLURM := munge slurm-wlm slurm-wlm-basic-plugins

slurm-packages:
	@test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "The tests on a cluster start SLURM's daemons: run" \
		"them as root, after installing $(SLURM) (Debian's names)"; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(SLURM) >/dev/null

.venv/slurm.ok: .venv/dev.ok requirements/slurm.txt
	$(BIN)/pip install --quiet --requirement requirements/slurm.txt
	touch $@

lint: .venv/dev.ok
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: .venv/dev.ok
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# jobs as pods, files in an object store: an S3 server and a stand-in for the cluster, on this machine
test-kubernetes: .venv/dev.ok
	test -d .kubernetes || $(BIN)/pip install --quiet --target .kubernetes -r requirements/kubernetes-test.txt \
		-c requirements/kubernetes.txt snakemake-executor-plugin-kubernetes snakemake-storage-plugin-s3
	$(BIN)/pip download --quiet --no-deps --dest .kubernetes/wheels -c requirements/kubernetes.txt snakemake-storage-plugin-s3
	$(BIN)/python -m pytest tests/kubernetes

# what is generated and committed: config/README.md from the schema, envs/ from the locks
docs: .venv/dev.ok
	$(BIN)/python dev/write_config_readme.py
	$(BIN)/python dev/write_environments.py

# the picture of the rules, after `make demo`; needs graphviz
docs/images/rules.svg: .venv/dev.ok
	$(BIN)/snakemake --rulegraph -- results/demo/report.html results/demo/experiments/baseline/bundle 2>/dev/null \
		| tred | sed -e 's/margin=0/margin=0.1/' | dot -Tsvg -o $@

# the picture of the page, after `make demo`; needs Chromium or Chrome
docs/images/app.png: .venv/dev.ok
	$(BIN)/python -m dev.photograph_app results/demo/experiments/baseline/bundle

# torch brings the CUDA packages of its own build, so that run.txt leaves them out; gpu.txt pins them for envs/
CUDA := triton cuda-bindings cuda-pathfinder cuda-toolkit $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime \
	cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx)
COMPILE := uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --no-header --no-annotate
LOCK := $(COMPILE) $(addprefix --no-emit-package ,$(CUDA))

lock: .venv/dev.ok
	cd requirements && ../$(BIN)/$(LOCK) run.in -o run.txt && ../$(BIN)/$(LOCK) dev.in -o dev.txt && \
		../$(BIN)/$(LOCK) annotate.in -o annotate.txt && ../$(BIN)/$(LOCK) slurm.in -o slurm.txt && \
		cp run.txt kubernetes.txt && ../$(BIN)/$(LOCK) kubernetes.in -o kubernetes.txt && \
		../$(BIN)/$(LOCK) kubernetes-test.in -o kubernetes-test.txt && \
		for name in gpu tensorrt-rtx conda-test; do ../$(BIN)/$(COMPILE) $$name.in -o $$name.txt || exit 1; done
	$(BIN)/python dev/write_environments.py

clean:
	rm -rf results logs benchmarks resources/demo .snakemake
