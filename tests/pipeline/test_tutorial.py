"""The tutorial that reads a run back runs on the test profile's results."""

import contextlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest


def test_the_tutorial_of_a_run_runs(first_run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not find_spec("myst_parser"):
        pytest.skip("myst is not here; make setup brings it")
    monkeypatch.syspath_prepend(root / "docs")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/tutorial").symlink_to(first_run.outdir)
    path = root / "docs/tutorials/read_a_run.py"
    with contextlib.chdir(tmp_path):
        page = import_module("percent_scripts").to_markdown(path.read_text(), str(path))
    assert page.count("<img ") == 3
    assert "attention_regression" in page
