"""The images hold what the lock says and what the package needs."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest


def pins(path: Path) -> dict[str, str]:
    lines = (line.split(";")[0].strip() for line in path.read_text().splitlines())
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture
def lock(root: Path) -> dict[str, str]:
    return pins(root / "requirements.lock")


@pytest.mark.parametrize("name", ["core", "cuda"])
def test_pinned_as_locked(root: Path, lock: dict[str, str], name: str) -> None:
    pinned = pins(root / f"containers/{name}/requirements.txt")
    assert pinned.items() <= lock.items()


def test_cuda_adds_to_core(root: Path) -> None:
    core, cuda = (pins(root / f"containers/{name}/requirements.txt") for name in ("core", "cuda"))
    assert not core.keys() & cuda.keys()
    assert "torch" in cuda


def test_nothing_that_the_package_needs_is_absent(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    needed = {re.match(r"[\w-]+", line)[0] for line in listed} - {"spotfuse"}  # "all" names the others
    held = {name for folder in ("core", "cuda") for name in pins(root / f"containers/{folder}/requirements.txt")}
    assert needed
    assert needed <= held
