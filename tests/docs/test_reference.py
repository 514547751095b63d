"""The site builds without a warning, has all that is public, and its examples and tutorials run."""

import contextlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("io", "preparation", "embedding", "domains", "proportions", "patterns", "group", "cohort", "metrics", "report")
# rooms that are doors too: what stands in the front row
FRONT = {"spotfuse.metrics": ["domains", "proportions"], "spotfuse.report": ["slice"]}
FACADE = ["spotfuse", "spotfuse.pp", "spotfuse.tl", "spotfuse.pl", *FRONT]


def names_of(module: ModuleType) -> list[str]:
    """Public names that are no modules: those of __all__, else the functions that the module itself has."""
    if module.__name__ in FRONT:
        return FRONT[module.__name__]
    names = getattr(module, "__all__", None) or [
        name
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and not name.startswith("_")
    ]
    return [name for name in names if not name.startswith("__") and not isinstance(getattr(module, name), ModuleType)]


@pytest.fixture
def in_the_repository(tmp_path: Path) -> Iterator[Path]:
    """A folder in which paths of the repository lead there, and what is written stays apart."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "work").mkdir()
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, without what the tutorials show."""
    if not find_spec("sphinx"):
        pytest.skip("sphinx is not here; make setup brings it")
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-D", "percent_scripts_run=0"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", folder / "trees", ROOT / "docs", folder / "html"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


def test_everything_public_is_in_the_reference(site: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    there = {name for kind in ("function", "class", "exception", "data", "module") for name in _of(inventory, kind)}
    modules = [import_module(name) for name in (*FACADE, *(f"spotfuse.{room}" for room in ROOMS))]
    public = {f"{module.__name__}.{name}" for module in modules for name in _documented(module)}
    assert len(public) > 100
    assert public - there == set()


def _of(inventory: object, kind: str) -> set[str]:
    return set(inventory.data.get(f"py:{kind}", {}))  # type: ignore[attr-defined]


def _documented(module: ModuleType) -> list[str]:
    """Leave out constants and aliases, which have no docstring; a class stands once, where its users look for it."""
    values = {name: getattr(module, name) for name in names_of(module)}
    found = [name for name, value in values.items() if inspect.isfunction(value) or inspect.isclass(value)]
    return [name for name in found if f"{module.__name__}.{name}" != "spotfuse.proportions.AttentionRegressionDeconv"]


def test_everything_in_front_has_an_example_that_runs(in_the_repository: Path) -> None:
    pyplot.switch_backend("agg")
    cells = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/api/examples.md").read_text(), re.S | re.M)
    shown = "\n".join(cells)
    for module in map(import_module, FACADE):
        prefix = module.__name__.replace("spotfuse", "sf", 1)
        for name in names_of(module):
            assert re.search(rf"\b{re.escape(prefix)}\.{name}\b", shown), f"{prefix}.{name} has no example"
    scope: dict[str, object] = {}
    for cell in cells:
        exec(cell, scope)
    pyplot.close("all")
    assert {path.name for path in Path("work").iterdir()} == {"composition.png", "left.h5ad", "report.html"}


def test_the_tutorial_of_one_slice_runs(in_the_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    percent_scripts = import_module("percent_scripts") if find_spec("myst_parser") else pytest.skip("myst is not here")
    path = ROOT / "docs/tutorials/one_slice.py"
    page = percent_scripts.to_markdown(path.read_text(), str(path))
    assert page.count("<img ") == 4
    assert float(re.search(r"'ari': ([\d.]+)", page)[1]) > 0.6
    assert float(re.search(r"'RMSE': ([\d.]+)", page)[1]) < 0.12
    assert "['cortex.h5ad', 'report.html']" in page
