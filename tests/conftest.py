"""Where the tests find slices."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; before NumPy asks for them
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def demo() -> Path:
    """The bundled slices."""
    return ROOT / "assets/demo"


@pytest.fixture(scope="session")
def data() -> Path:
    """Further slices with known truth, which are not bundled."""
    folder = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data"))
    if not folder.is_dir():
        pytest.skip(f"further slices are not here: {folder} (set SPOTFUSE_DATA)")
    return folder
