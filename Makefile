.PHONY: setup demo test test-executors images images-sif lint

setup:
	tools/setup

demo: setup
	tools/nextflow run . -profile test_full --outdir results $(if $(wildcard .nextflow/history),-resume)

test:
	tools/setup chromium
	$(MAKE) --no-print-directory lint
	.venv/bin/pytest

# Docker, Slurm and Apptainer, set up here as far as this machine lets root do so
test-executors: setup
	.venv/bin/pytest tests/executors

# OPTIONS: those that the head of tools/images tells, such as OPTIONS="--ca company.pem"
images:
	tools/images $(OPTIONS)

images-sif:
	tools/images --sif containers/sif $(OPTIONS)

lint:
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
