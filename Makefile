.PHONY: setup demo test fuzz test-executors test-gpu bench-run bench-domains bench-deconvolution docs wheel images images-sif lint outdated

setup:
	tools/setup

demo: setup
	tools/nextflow run . -profile test_full --outdir results $(if $(wildcard .nextflow/history),-resume)

test:
	tools/setup chromium
	$(MAKE) --no-print-directory lint
	.venv/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# ten thousand sheets and damaged or made-up files, where the tests take a few hundred
fuzz: setup
	SPOTFUSE_FUZZ=10000 .venv/bin/pytest tests/bad_inputs/test_fuzz.py tests/pipeline/test_fuzz.py

# proportions against known ones and against peers; QUICK=1: without the peers that take minutes
bench-deconvolution: setup
	$(if $(QUICK),,.venv/bin/python benchmarks/deconvolution/scale.py)
	PATH="$${SPOTFUSE_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/spotfuse}/uv/bin:$$PATH" .venv/bin/python benchmarks/deconvolution/compare.py

# Docker, Slurm and Apptainer, set up here as far as this machine lets root do so
test-executors: setup
	.venv/bin/pytest tests/executors

# on a machine with a CUDA device: the same partition as on the CPU, then seconds and memory
test-gpu: setup
	.venv/bin/pytest tests/gpu
	.venv/bin/python benchmarks/domains/scale.py 3639 100000 1000000 --device cuda --out work/scale_cuda.md

# processor seconds and memory of the demo's steps beside the committed ones; QUICK=1: of the profile test, for the eye
bench-run: setup
	.venv/bin/python benchmarks/run.py $(if $(QUICK),--quick)

# QUICK=1: minutes instead of hours, nothing written
bench-domains: setup
	.venv/bin/python benchmarks/domains/peers.py $(if $(QUICK),--quick)
	$(if $(QUICK),,.venv/bin/python benchmarks/domains/scale.py)
	$(if $(QUICK),,.venv/bin/python benchmarks/domains/ablation.py)
	.venv/bin/python benchmarks/domains/generalisation.py $(if $(QUICK),--quick)

# the documentation into docs/_build/html, with the tutorials run, one of them on the results of the profile test
docs: setup
	tools/nextflow run . -profile test --outdir work/tutorial $(if $(wildcard work/tutorial),-resume)
	.venv/bin/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html

# wheel and source archive into dist/, and the wheel with all extras in an environment of its own, outside the sources
wheel: export PATH := $(or $(SPOTFUSE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/spotfuse)/uv/bin:$(PATH)
wheel: setup
	rm -rf dist
	uv build --quiet --python .venv/bin/python --out-dir dist
	uv venv --quiet --python .venv/bin/python dist/env
	RPY2_CFFI_MODE=ABI uv pip install --quiet --python dist/env/bin/python --constraint requirements.lock "spotfuse[all] @ file://$$(echo $(CURDIR)/dist/*.whl)"
	cd dist && env/bin/spotfuse --version
	cd dist && env/bin/spotfuse inspect ../assets/test/cortex.h5ad
	cd dist && env/bin/python -c "import spotfuse as sf; print(*(getattr(sf, name) for name in sf.__all__), sep='\n')"

# OPTIONS: those that the head of tools/images tells, such as OPTIONS="--ca company.pem"
images:
	tools/images $(OPTIONS)

images-sif:
	tools/images --sif containers/sif $(OPTIONS)

lint:
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	tools/strict

# pins that have a newer release; the CUDA libraries are those torch asks for, and rpy2 3.6 needs a newer R than Debian 12 has
outdated: setup
	PATH="$${SPOTFUSE_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/spotfuse}/uv/bin:$$PATH" uv pip list --outdated --python .venv/bin/python
