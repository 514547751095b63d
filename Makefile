.PHONY: setup demo test lint

setup:
	tools/setup

demo: setup
	tools/nextflow run . -profile test_full --outdir results

test:
	tools/setup chromium
	$(MAKE) --no-print-directory lint
	.venv/bin/pytest

lint:
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
