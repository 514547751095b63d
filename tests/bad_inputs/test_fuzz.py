"""Whatever a file holds, a reader gives a slice or one line; never a traceback, never a wrong slice."""

import json
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from spotfuse import io, proportions
from spotfuse._core.errors import InputError
from spotfuse.io import _slices

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

N = int(os.environ.get("SPOTFUSE_FUZZ", "300"))
few = settings(
    max_examples=N // 6, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
NUMBERS = st.one_of(
    st.integers(-2, 9), st.sampled_from(["", "NA", "nan", "inf", "1e300", "-1", "0.5", "x", '"', "1,2"])
)
NAMES = st.one_of(
    st.sampled_from(["", "x", "y", "X", "spot", "ACTB", "MT-CO1", "AAACCCGGGTTT-1", "cell_1", "in_tissue", "0", "NaN"]),
    st.text(max_size=5),
)


def attempt(read: Callable[[], object]) -> object | None:
    """What a reader gives, or None when it refuses in one line."""
    try:
        return read()
    except InputError as error:
        assert str(error).strip() and len(str(error)) < 2000
        assert "Traceback" not in str(error)
        return None


def check_slice(path: Path) -> None:
    found = attempt(lambda: io.read_slice(path))
    if found is not None:
        assert (
            found.obsm["spatial"].shape == (found.n_obs, 2) and found.obs_names.is_unique and found.var_names.is_unique
        )
        assert np.isfinite(found.X.data).all() and (found.X.data >= 0).all() and found.X.nnz > 0


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A table, more or less."""
    separator = draw(st.sampled_from([",", "\t", ";", " "]))
    width = draw(st.integers(0, 6))
    lines = [draw(st.lists(NAMES, min_size=width, max_size=width))]
    for _ in range(draw(st.integers(0, 5))):
        wide = width + draw(st.sampled_from([-1, 0, 0, 0, 0, 0, 1]))
        lines.append([draw(NAMES), *(str(draw(NUMBERS)) for _ in range(max(0, wide - 1)))])
    return draw(st.sampled_from(["\n", "\r\n"])).join(separator.join(line) for line in lines)


@few
@given(text=texts(), name=st.sampled_from(["t.csv", "t.tsv", "t.txt"]))
def test_tables(text: str, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    attempt(lambda: io.read_table(path))
    attempt(lambda: io.read_numbers(path))
    check_slice(path)
    attempt(lambda: proportions.read_reference(path, str(path)))


@few
@given(
    positions=texts(), name=st.sampled_from(["tissue_positions.csv", "tissue_positions_list.csv", "coordinates.tsv"])
)
def test_positions_beside_a_matrix(positions: str, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "matrix"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n2 3 3\n1 1 1\n2 2 4\n1 3 2\n")
    (folder / "barcodes.tsv").write_text("AAACCCGGGTTT-1\ncell_1\nx\n")
    (folder / "features.tsv").write_text("ENSG1\tACTB\tGene Expression\nENSG2\tMT-CO1\tGene Expression\n")
    (folder / name).write_bytes(positions.encode("utf-8", "surrogatepass"))
    check_slice(folder)


@few
@given(text=texts(), header=st.sampled_from(["geneID\tx\ty\tMIDCount\n", "geneID\tx\ty\tMIDCount\tExonCount\n", ""]))
def test_gem(text: str, header: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "chip.gem"
    path.write_bytes((header + text.replace(",", "\t")).encode("utf-8", "surrogatepass"))
    check_slice(path)


VALUES = st.one_of(
    st.integers(-2, 9),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-1, 5), max_size=6),
    st.lists(st.sampled_from([b"a", b"b", b"\xff", b""]), max_size=4),
    st.just([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]),
)
PLACES = ["X", "X/data", "X/indices", "X/indptr", "obs", "obs/_index", "obs/x", "var", "var/_index"]
PLACES += ["obsm", "obsm/spatial", "uns", "uns/spatial", "layers/counts"]


@few
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3), attribute=VALUES)
def test_h5ad(changes: list[tuple[str, object]], attribute: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A good file whose parts hold something else."""

    base = tmp_path_factory.getbasetemp() / "whole"
    if not base.exists():
        _write_whole(base)
    path = base.with_name("s.h5ad")
    shutil.copy(base / "s.h5ad", path)
    with h5py.File(path, "r+") as file:
        for place, value in changes:
            attributes = dict(file[place].attrs) if place in file else {}
            if place in file:
                del file[place]
            try:
                file[place] = value
                file[place].attrs.update(attributes)
                file.attrs["x"] = attribute
            except (ValueError, TypeError, KeyError, OverflowError, OSError):
                pass  # what HDF5 itself cannot hold
    check_slice(path)
    attempt(lambda: _slices.read_obs(path))
    attempt(lambda: proportions.read_reference(path, "x"))


@few
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
            st.sampled_from(["features", "geometry", "coordinates", "properties", "cell_id"]), inner, max_size=4
        ),
        max_leaves=12,
    ),
    wrapped=st.booleans(),
)  # fmt: skip
def test_outlines_and_scale_factors(value: object, wrapped: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "cells"
    if not folder.exists():
        with h5py.File(folder.parent / "m.h5", "w") as file:
            matrix = file.create_group("matrix")
            matrix["barcodes"] = [b"cellid_000000001-1", b"cellid_000000002-1"]
            matrix["data"], matrix["indices"], matrix["indptr"] = [1, 2, 3], [0, 1, 0], [0, 2, 3]
            matrix["shape"] = [2, 2]
            for name in ("id", "name"):
                matrix[f"features/{name}"] = [b"A", b"B"]
        (folder / "spatial").mkdir(parents=True)
        shutil.copy(folder.parent / "m.h5", folder / "filtered_feature_cell_matrix.h5")
    text = json.dumps({"features": [value, {"geometry": value, "properties": {"cell_id": 1}}]} if wrapped else value)
    (folder / "cell_segmentations.geojson").write_text(text)
    check_slice(folder)


@few
@given(at=st.integers(0, 10**6), n=st.integers(0, 60), junk=st.binary(max_size=40), which=st.integers(0, 9))
def test_damaged_bytes(at: int, n: int, junk: bytes, which: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes of any file of a kind replaced, cut out or put in."""
    base = tmp_path_factory.getbasetemp() / "whole"
    if not base.exists():
        _write_whole(base)
    kind = sorted(base.iterdir())[which % len(list(base.iterdir()))]
    copy = base.with_name("damaged") / kind.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir()
    shutil.copytree(kind, copy) if kind.is_dir() else shutil.copy(kind, copy)
    files = [copy] if copy.is_file() else sorted(path for path in copy.rglob("*") if path.is_file())
    path = files[at % len(files)]
    content = path.read_bytes()
    at %= max(1, len(content))
    path.write_bytes(content[:at] + junk + content[at + n :])
    check_slice(copy)


def _write_whole(base: Path) -> None:

    base.mkdir()
    rng = np.random.default_rng(0)
    names = [f"cell_{i}" for i in range(8)]
    adata = anndata.AnnData(
        sparse.csr_matrix(rng.poisson(1.0, (8, 6)).astype(np.float32)), obs=pd.DataFrame({"x": 1.5}, index=names)
    )
    adata.obsm["spatial"] = rng.random((8, 2))
    adata.write_h5ad(base / "s.h5ad", compression="gzip")
    adata.write_zarr(base / "s.zarr")
    (base / "table").mkdir()
    adata.to_df().to_csv(base / "table/counts.csv.gz")
    places = pd.DataFrame(adata.obsm["spatial"], index=names, columns=["x", "y"])
    places.to_csv(base / "table/positions.csv")
    (base / "xenium/cell_feature_matrix").mkdir(parents=True)
    places.set_axis(["x_centroid", "y_centroid"], axis=1).to_csv(base / "xenium/cells.csv.gz", index_label="cell_id")
    if find_spec("fastparquet"):
        (base / "xenium_parquet").mkdir()
        table = places.set_axis(["x_centroid", "y_centroid"], axis=1).rename_axis("cell_id").reset_index()
        table.to_parquet(base / "xenium_parquet/cells.parquet")
    for folder in base.glob("xenium*"):
        with h5py.File(folder / "cell_feature_matrix.h5", "w") as file:
            matrix = file.create_group("matrix")
            matrix["barcodes"] = np.array(names, "S")
            matrix["data"], matrix["indices"], matrix["indptr"] = (
                adata.X.data.astype(int),
                adata.X.indices,
                adata.X.indptr,
            )
            matrix["shape"] = [6, 8]
            for name in ("id", "name"):
                matrix[f"features/{name}"] = np.array([f"G{i}" for i in range(6)], "S")
