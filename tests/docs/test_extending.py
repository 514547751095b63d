"""The changes of docs/extending.md, applied to a copy of the repository, do what the page says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("assets", "bin", "conf", "docs", "lib", "modules", "subworkflows", "tests", "tools")
_SLICE = """
import spotfuse as sf
adata = sf.read("assets/test/starmap_left.h5ad")
sf.pp.qc(adata)
"""


def patches(chapter: str) -> list[str]:
    text = (ROOT / "docs/extending.md").read_text()
    part = re.search(rf"^## {chapter}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    assert part
    return re.findall(r"^```diff\n(.*?)^```$", part[1], re.S | re.M)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in sorted(ROOT.iterdir()):
        if path.is_file():
            shutil.copy2(path, tmp_path)
        elif path.name in _PARTS:
            ignored = shutil.ignore_patterns("__pycache__", "_build", "demo")
            shutil.copytree(path, tmp_path / path.name, ignore=ignored)
    return tmp_path


def apply(copy: Path, chapter: str) -> None:
    found = patches(chapter)
    assert found
    for patch in found:
        done = subprocess.run(["git", "apply", "-"], cwd=copy, input=patch, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def python(copy: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, *args],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": "bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_input_format(copy: Path) -> None:
    apply(copy, "An input format")
    (copy / "roi").mkdir()
    (copy / "roi/roi_CellxGene.csv").write_text(",A,B\n1,3,1\n2,1,2\n3,4,5\n")
    (copy / "roi/roi_CellCoordinates.csv").write_text("label,area,center_x,center_y\n1,9,0,1\n2,9,5,0\n3,9,0,7\n")
    told = python(copy, "-m", "spotfuse", "inspect", "roi")
    assert re.search(r"kind +seqfish", told) and re.search(r"spots +3 \(1, 2, 3", told)
    python(copy, "-m", "pytest", "-q", "tests/unit/io/test_io.py", "-k", "seqfish or table_of_what or platforms")


def test_an_encoder(copy: Path) -> None:
    apply(copy, "An encoder")
    told = python(
        copy,
        "-c",
        f"{_SLICE}sf.pp.prepare(adata)\nsf.tl.embed(adata, encoder='linear', epochs=3)\n"
        "print(adata.obsm['X_spotfuse'].shape, len(adata.uns['spotfuse']['loss']))",
    )
    assert told == "(293, 50) 3\n"
    assert "{spotfuse,published,linear}" in python(copy, "bin/train.py", "--help")


def test_a_deconvolution_method(copy: Path) -> None:
    apply(copy, "A deconvolution method")
    told = python(
        copy,
        "-c",
        f"{_SLICE}sf.tl.proportions(adata, 'assets/test/starmap_reference.h5ad', method='least_squares', least=0.1)\n"
        "found = adata.obsm['proportions']\nprint(found.shape, found[found > 0].min().min() >= 0.1)",
    )
    assert told == "(293, 12) True\n"
    python(copy, "-m", "pytest", "-q", "tests/pipeline/test_static.py", "-k", "commands_and_schema and deconvolve")


def test_an_executor(copy: Path) -> None:
    apply(copy, "An executor")
    if not shutil.which("java"):
        pytest.skip("Java is not here; tools/setup brings it")
    done = subprocess.run(
        [ROOT / "tools/nextflow", "config", copy, "-profile", "lsf,apptainer", "-flat"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "process.executor = 'lsf'" in done.stdout and "apptainer.enabled = true" in done.stdout
