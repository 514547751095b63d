"""What cannot matter for domains and proportions does not: names, order, frame, genes without counts, threads."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import run
from scipy import sparse
from spotfuse._core import tables


def prepared(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    adata.write_h5ad(folder / "slice.h5ad")
    run(folder, "prepare_slice", "--data", "slice.h5ad")
    return folder


def result(adata: AnnData, table: Path) -> np.ndarray:
    """Give a table's figures, row by row as the first slice had its spots."""
    found = tables.read_back(table).set_index("spot").loc[adata.obs_names]
    return found.to_numpy(float)[np.argsort(adata.obs["first_row"].to_numpy())]


def domains(adata: AnnData, folder: Path, n_domains: int, threads: int = 1) -> np.ndarray:
    prepared(adata, folder)
    run(folder, "train", "--prepared", "prepared.h5ad", "--device", "cpu", "--epochs", 30, threads=threads)
    run(
        folder,
        "assign_domains",
        *("--prepared", "prepared.h5ad", "--embedding", "embedding.npz", "--n-domains", n_domains),
    )
    found = result(adata, folder / "domains.tsv")
    assert set(found[:, 0]) == set(range(1, n_domains + 1))
    return found


def read(path: Path) -> AnnData:
    adata = anndata.read_h5ad(path)
    adata.uns = {}
    adata.obs = pd.DataFrame({"first_row": np.arange(adata.n_obs)}, index=adata.obs_names)
    return adata


def renamed(adata: AnnData) -> AnnData:
    adata = adata.copy()
    adata.obs_names = [f"spot {i}" for i in np.random.default_rng(1).permutation(adata.n_obs)]
    return adata


def shuffled(adata: AnnData) -> AnnData:
    random = np.random.default_rng(2)
    return adata[random.permutation(adata.n_obs), random.permutation(adata.n_vars)].copy()


def moved(adata: AnnData) -> AnnData:
    """Turn, mirror, scale and shift it."""
    adata = adata.copy()
    turn = np.array([[np.cos(0.7), np.sin(0.7)], [np.sin(0.7), -np.cos(0.7)]])
    adata.obsm["spatial"] = 0.37 * np.asarray(adata.obsm["spatial"], float)[:, :2] @ turn + [1234.5, -987.25]
    return adata


def widened(adata: AnnData) -> AnnData:
    """Add genes that no spot has."""
    names = [*adata.var_names, *(f"{letter}none{i}" for letter in "Az" for i in range(20))]
    counts = sparse.hstack([adata.X, sparse.csr_matrix((adata.n_obs, 40), dtype=np.float32)], format="csr")
    return AnnData(counts, obs=adata.obs, var=pd.DataFrame(index=names), obsm={"spatial": adata.obsm["spatial"]})


def all_at_once(adata: AnnData) -> AnnData:
    return renamed(shuffled(widened(moved(adata))))


@pytest.fixture(scope="module")
def left(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AnnData, np.ndarray]:
    """A bundled slice, and its domains."""
    adata = read(root / "assets/test/starmap_left.h5ad")
    return adata, domains(adata, tmp_path_factory.mktemp("left") / "first", 4)


@pytest.mark.parametrize("change", [renamed, all_at_once])
def test_what_cannot_matter_changes_no_domain(left, tmp_path: Path, change: Callable[[AnnData], AnnData]) -> None:
    adata, expected = left
    np.testing.assert_array_equal(domains(change(adata), tmp_path / "second", 4), expected)


def test_threads_change_no_domain(left, tmp_path: Path) -> None:
    adata, expected = left
    np.testing.assert_array_equal(domains(adata, tmp_path / "second", 4, threads=2)[:, 0], expected[:, 0])


@pytest.mark.parametrize(("file", "n_domains"), [("starmap_mpfc/BZ5.h5ad", 4), ("her2st/H1.h5ad", 6)])
def test_nor_on_further_slices(data: Path, tmp_path: Path, file: str, n_domains: int) -> None:
    adata = read(data / file)
    expected = domains(adata, tmp_path / "first", n_domains)
    np.testing.assert_array_equal(domains(all_at_once(adata), tmp_path / "second", n_domains), expected)


def test_what_cannot_matter_changes_no_proportion(root: Path, tmp_path: Path) -> None:
    adata = read(root / "assets/test/starmap_left.h5ad")
    adata = adata[:150].copy()
    run(tmp_path, "prepare_reference", "--reference", root / "assets/test/starmap_reference.h5ad")
    found = []
    for name, slice_ in (("first", adata), ("second", all_at_once(adata))):
        folder = prepared(slice_, tmp_path / name)
        options = ("--prepared", "prepared.h5ad", "--reference", "../reference.h5ad", "--method", "both")
        run(folder, "deconvolve", *options, "--device", "cpu")
        tables = ("proportions.tsv", "proportions_cell_mapping.tsv", "proportions_sd.tsv")
        found.append([result(slice_, folder / table) for table in tables])
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
