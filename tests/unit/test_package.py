"""What is said of the package in more than one place is the same in all."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def workflow(root: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((root / f".github/workflows/{name}.yml").read_text())["jobs"]


def test_each_python_that_is_promised_is_tested(root: Path, project: dict[str, Any]) -> None:
    prefix = "Programming Language :: Python :: 3."
    promised = [f"3.{line.removeprefix(prefix)}" for line in project["classifiers"] if line.startswith(prefix)]
    assert project["requires-python"] == f">={promised[0]}"
    for job in ("tests", "wheel"):
        assert workflow(root, "tests")[job]["strategy"]["matrix"]["python"] == promised


def test_all_is_every_extra(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    assert extras.pop("all") == [f"spotfuse[{','.join(sorted(extras))}]"]


def test_workflows_call_what_is_here(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
    for path in sorted((root / ".github/workflows").glob("*.yml")):
        steps = [step.get("run", "") for job in workflow(root, path.stem).values() for step in job["steps"]]
        called = re.findall(r"\bmake ([a-z-]+)", "\n".join(steps))
        assert set(called) <= targets
        assert all((root / name).exists() for name in re.findall(r"\btools/\w+", "\n".join(steps)))


def test_a_release_publishes_without_a_token(root: Path) -> None:
    publish = workflow(root, "release")["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
