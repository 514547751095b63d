"""Numbers of every kind and size: read as what they are, or refused in one line; through the real command."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import io, preparation, proportions
from spotfuse._core.errors import InputError

N_SPOTS, N_GENES = 40, 60
COUNTS = np.random.default_rng(0).poisson(2, (N_SPOTS, N_GENES)).astype(np.float32)
XY = np.column_stack([np.arange(N_SPOTS) % 8, np.arange(N_SPOTS) // 8]) * 10.0

Change = Callable[[h5py.File], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    adata = AnnData(
        sparse.csr_matrix(COUNTS),
        obs=pd.DataFrame({"cell_type": ["a", "b"] * 20, "age": XY[:, 0]}, index=[f"s{i:02}" for i in range(N_SPOTS)]),
        var=pd.DataFrame(index=[f"G{i:02}" for i in range(N_GENES)]),
        obsm={"spatial": XY},
    )
    path = tmp_path_factory.mktemp("good") / "slice.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.fixture
def path(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(good, tmp_path))


def put(place: str, values: np.ndarray, **options: object) -> Change:
    def change(file: h5py.File) -> None:
        del file[place]
        made = file.create_dataset(place, data=values, **options)
        made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

    return change


def as_type(place: str, kind: str) -> Change:
    return lambda file: put(place, file[place][:].astype(kind))(file)


KINDS = [">f4", ">f8", ">i2", ">u8", "f2", "f8", "i1", "u1", "i8", "u8"]
READ = {f"sparse {kind}": as_type("X/data", kind) for kind in KINDS}
READ |= {f"dense {kind}": put("X", COUNTS.astype(kind)) for kind in KINDS}
READ |= {
    f"{part} {kind}": as_type(f"X/{part}", kind) for part in ("indices", "indptr") for kind in (">i4", ">i8", "u4")
}
READ |= {f"coordinates {kind}": as_type("obsm/spatial", kind) for kind in (">f8", "f2", "i1", ">u2", "S")}
READ |= {"columns >f8": as_type("obs/age", ">f8"), "types >i2": as_type("obs/cell_type/codes", ">i2")}
REFUSED = {
    "complex": (as_type("X/data", "c8"), "X holds complex numbers where counts are expected; give raw counts"),
    "dense complex": (put("X", COUNTS.astype(">c16")), "X holds complex numbers where counts are expected"),
    "text": (put("X", COUNTS.astype("S")), "X holds text where counts are expected"),
    "records": (put("X", COUNTS.astype([("n", "f4")])), "X holds records where counts are expected"),
    "infinite in single precision": (put("X", COUNTS * 1e300), "X has NaN or infinite values"),
    "infinite in half precision": (put("X", np.where(COUNTS > 0, np.inf, 0).astype("f2")), "X has NaN or infinite"),
}
COORDINATES = {
    "complex": (put("obsm/spatial", XY + 1j), r"obsm\['spatial'\] holds complex numbers where x and y"),
    "words": (
        put("obsm/spatial", np.full(XY.shape, "left", "S")),
        r"obsm\['spatial'\] must have a row for each of 40 spots and two columns",
    ),
    "records": (
        put("obsm/spatial", XY.astype([("x", "f8")])),
        r"obsm\['spatial'\] must have a row for each of 40 spots and two",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_read_as_what_they_are(name: str, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        READ[name](file)
    found = io.read_slice(path)
    assert np.array_equal(found.X.toarray(), COUNTS) and found.X.dtype == np.float32
    assert np.array_equal(found.obsm["spatial"], XY) and found.obsm["spatial"].dtype == np.float64
    assert found.uns["spotfuse"]["notes"] == []
    assert proportions.read_reference(path).shape == (N_SPOTS, N_GENES)
    preparation.prepare(found)
    assert np.isfinite(found.obsm["X_pca"]).all()


@pytest.mark.parametrize("name", REFUSED)
def test_no_counts(name: str, path: Path) -> None:
    change, message = REFUSED[name]
    with h5py.File(path, "r+") as file:
        change(file)
    for read in (io.read_slice, proportions.read_reference):
        with pytest.raises(InputError, match=message):
            read(path)


@pytest.mark.parametrize("name", COORDINATES)
def test_no_coordinates(name: str, path: Path) -> None:
    change, message = COORDINATES[name]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message):
        io.read_slice(path)


def test_columns_of_complex_numbers_are_no_coordinates(path: Path) -> None:
    adata = anndata.read_h5ad(path)
    del adata.obsm["spatial"]
    adata.obs["x"], adata.obs["y"] = XY[:, 0] + 1j, XY[:, 1]
    adata.write_h5ad(path)
    with pytest.raises(InputError, match="obs columns x and y holds complex numbers"):
        io.read_slice(path)


def prepared(path: Path, root: Path) -> AnnData:
    step = [sys.executable, root / "bin/prepare_slice.py", "--sample", "S", "--data", path]
    run = subprocess.run(step, cwd=path.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return anndata.read_h5ad(path.parent / "prepared.h5ad")


@pytest.fixture(scope="module")
def neighbours(good: Path, root: Path) -> dict[str, sparse.csr_matrix]:
    return dict(prepared(good, root).obsp)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda xy: xy * 1e200, "extends over about 1e201"),
        (lambda xy: xy * -1e306, "extends over about 1e307"),
        (lambda xy: xy * 2e306 - 7e307, "extends over about 1e308"),
        (lambda xy: xy * 1e-200, "extends over about 1e-199"),
        (lambda xy: xy + 1e15, r"begins at 1e\+15, 1e\+15, far from"),
        (lambda xy: xy * 1e-3 - 1e9, "begins at -1e\\+09"),
    ],
)
def test_coordinates_of_any_size_have_the_same_neighbours(
    change: Callable[[np.ndarray], np.ndarray],
    note: str,
    path: Path,
    root: Path,
    neighbours: dict[str, sparse.csr_matrix],
) -> None:
    with h5py.File(path, "r+") as file:
        put("obsm/spatial", change(XY))(file)
    found = prepared(path, root)
    assert any(re.search(note, line) for line in found.uns["spotfuse"]["notes"])
    for graph in ("spatial_connectivities", "feature_connectivities"):
        assert (found.obsp[graph] != neighbours[graph]).nnz == 0


def test_coordinates_of_ordinary_size_stay_as_they_are(path: Path) -> None:
    for factor, shift in ((1e-6, 0), (1e10, 0), (1, 1e8)):
        with h5py.File(path, "r+") as file:
            put("obsm/spatial", XY * factor + shift)(file)
        assert np.array_equal(io.read_slice(path).obsm["spatial"], XY * factor + shift)
