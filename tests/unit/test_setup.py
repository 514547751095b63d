"""`make setup`, on a lock file of one package that is made here."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

WHEEL = {
    "tiny/__init__.py": "",
    "tiny-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
    "tiny-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.dist-info/RECORD": "",
}


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    cache = Path(os.environ.get("SPOTFUSE_CACHE", Path.home() / ".cache/spotfuse"))
    if not (shutil.which("uv") or (cache / "uv/bin/uv").exists()):
        pytest.skip("uv is not here; tools/setup brings it")
    (tmp_path / "tools").mkdir()
    shutil.copy2(root / "tools/setup", tmp_path / "tools")
    for name in ("tools/nextflow", "java", "ps", "mvn", "Rscript"):  # as if all else were here
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    with zipfile.ZipFile(tmp_path / "tiny-1-py3-none-any.whl", "w") as wheel:
        for name, text in WHEEL.items():
            wheel.writestr(name, text)
    (tmp_path / "requirements.lock").write_text("./tiny-1-py3-none-any.whl\n")
    return tmp_path


def setup(checkout: Path) -> subprocess.CompletedProcess[str]:
    path = f"{checkout}:{os.environ['PATH']}"
    return subprocess.run(
        [checkout / "tools/setup"], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
    )


def compiled(checkout: Path) -> list[Path]:
    return list(checkout.glob(".venv/lib/python3*/site-packages/tiny/__pycache__/__init__.*.pyc"))


def test_packages_come_with_byte_code_also_where_they_had_none(checkout: Path) -> None:
    assert "Python packages" in setup(checkout).stderr
    assert len(compiled(checkout)) == 1
    # as an older setup left it
    (checkout / ".venv/compiled").unlink()
    compiled(checkout)[0].unlink()
    assert setup(checkout).stderr == ""
    assert len(compiled(checkout)) == 1


def test_a_second_setup_does_nothing(checkout: Path) -> None:
    setup(checkout)
    before = compiled(checkout)[0]
    before.unlink()
    setup(checkout)
    assert compiled(checkout) == []
