"""Slices in one frame: a slice that was moved is brought back, and spots have neighbours above and below them."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import group, io, preparation
from spotfuse._core import tables
from spotfuse._core.errors import InputError
from spotfuse.group import _placement

WIDE, HIGH, GENES = 36, 28, 60


def tissue(seed: int, keep: float = 1.0, depth: float = 1.0) -> AnnData:
    """Spots on a square array over a tissue whose expression changes along two axes; `keep` and `depth` thin it."""
    random = np.random.default_rng(seed)
    x, y = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(WIDE), np.arange(HIGH)))
    where = np.random.default_rng(0).random((GENES, 3)) * [WIDE, HIGH, 4] + [0, 0, 3]
    level = 1 + 8 * np.exp(-((x[:, None] - where[:, 0]) ** 2 + (y[:, None] - where[:, 1]) ** 2) / where[:, 2] ** 2)
    adata = AnnData(sparse.csr_matrix(random.poisson(depth * level).astype(np.float32)))
    adata.obs_names = [f"s{i:04d}" for i in range(adata.n_obs)]
    adata.var_names = [f"gene{i:02d}" for i in range(GENES)]
    adata.obsm["spatial"] = np.column_stack([x, y])
    adata.obsm["truth"] = adata.obsm["spatial"].copy()
    return adata[np.sort(random.permutation(adata.n_obs)[: int(keep * adata.n_obs)])].copy()


def moved(adata: AnnData, turn: float, mirror: bool, scale: float = 1) -> AnnData:
    angle = np.radians(turn)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    adata.obsm["spatial"] = scale * (adata.obsm["truth"] * [1 - 2 * mirror, 1]) @ matrix + [500, -70]
    return adata


def written(adata: AnnData, path: Path, platform: str = "other") -> Path:
    adata = adata.copy()
    adata.obs["input_row"] = np.arange(adata.n_obs)
    preparation.prepare(adata, n_components=20)
    adata.uns["spotfuse"] = {"platform": platform, "prepare": {"n_top_genes": 3000, "n_components": 20}}
    io.write(adata, path)
    return path


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tissue(1), tmp_path_factory.mktemp("one") / "one.h5ad")


def laid(one: Path, other: AnnData, path: Path) -> tuple[pd.Series, float]:
    """The row of the slice that is laid on the other, and by how much its spots miss their places, in spacings."""
    prepared = {"one": one, "two": written(other, path / "two.h5ad")}
    common = group.Common.of("pair", prepared)
    table = group.align(common, None, transport=True)
    joined = group.join(common, table)
    there = joined.obsm["spatial_aligned"][(joined.obs["slice"] == "two").to_numpy()]
    return table.iloc[1], float(
        np.median(np.linalg.norm(there - anndata.read_h5ad(prepared["two"]).obsm["truth"], axis=1))
    )


@pytest.mark.parametrize(("turn", "mirror", "scale"), [(37, True, 1), (37, False, 1), (180, False, 3.5)])
def test_a_moved_slice_is_brought_back(one: Path, tmp_path: Path, turn: float, mirror: bool, scale: float) -> None:
    row, error = laid(one, moved(tissue(2, keep=0.9, depth=0.4), turn, mirror, scale), tmp_path)
    assert error < 0.5
    assert (row["mirrored"], row["onto"]) == (mirror, "one")
    assert row["scale"] == pytest.approx(1 / scale, rel=0.01)
    assert row["overlap"] > 0.95 and row["similarity"] > 0.7 and row["runner_up"] < 0.8


def test_a_part_is_laid_where_it_belongs(one: Path, tmp_path: Path) -> None:
    half = tissue(2, keep=0.9)
    half = half[half.obsm["truth"][:, 0] < WIDE / 2].copy()
    row, error = laid(one, moved(half, 110, False), tmp_path)
    assert error < 0.5 and row["overlap"] > 0.95


def test_the_larger_slice_may_lie_above(one: Path, tmp_path: Path) -> None:
    whole = moved(tissue(2), 250, False)
    part = tissue(1)
    part = part[part.obsm["truth"][:, 0] < WIDE * 0.6].copy()
    row, error = laid(written(part, tmp_path / "part.h5ad"), whole, tmp_path)
    assert error < 0.5 and 0.5 < row["overlap"] < 0.7


def test_slices_follow_each_other_by_z_else_by_name(one: Path, tmp_path: Path) -> None:
    prepared = {"one": one, "a": one, "b": one}
    common = group.Common.of("g", prepared)
    by_name = group.align(common, None, transport=False)
    assert list(by_name["slice"]) == ["a", "b", "one"] and by_name["z"].isna().all()
    by_z = group.align(common, {"a": 20.0, "b": -10.0, "one": 0.0}, transport=False)
    assert list(zip(by_z["slice"], by_z["onto"], by_z["z"], strict=True)) == [
        ("b", "", -10),
        ("one", "b", 0),
        ("a", "one", 20),
    ]
    assert list(by_z["overlap"].iloc[1:]) == [1, 1] and by_z["similarity"].iloc[1:].to_numpy() == pytest.approx(1)
    joined = group.join(common, by_z)
    n = WIDE * HIGH
    assert [joined.obsm["spatial_aligned"][i * n, 2] for i in range(3)] == [20, -10, 0]  # a, b, one
    graph = joined.obsp["spatial_connectivities"]
    assert graph[:n, n : 2 * n].nnz == 0 and graph[:n, 2 * n :].nnz == n == graph[n : 2 * n, 2 * n :].nnz
    assert group.join(common, by_name).obsm["spatial_aligned"].shape == (3 * n, 2)
    tables.write(by_z, tmp_path / "alignment.tsv")  # what is told suffices to do it again
    again = pd.read_csv(tmp_path / "alignment.tsv", sep="\t")
    assert np.array_equal(group.join(common, again).obsm["spatial_aligned"], joined.obsm["spatial_aligned"])


def test_edges_are_between_next_slices_and_within_a_spacing() -> None:
    random = np.random.default_rng(0)
    places = [
        10 * tissue(i).obsm["truth"] + random.uniform(-4, 4, 2) + shift for i, shift in enumerate((0, 0, 60, 5000))
    ]
    graph = preparation.between_slices(places, [0, 1, 2, 3])
    assert (graph != graph.T).nnz == 0 and set(graph.data) == {1}
    source, target = graph.nonzero()
    n = WIDE * HIGH
    assert set(np.abs(source // n - target // n)) == {1}
    far = np.linalg.norm(np.vstack(places)[source] - np.vstack(places)[target], axis=1)
    assert far.max() <= 10
    assert graph[3 * n :].nnz == 0  # lies elsewhere
    assert (np.asarray(graph[:n].sum(axis=1)) >= 1).all()  # lies on the second with all its spots


def test_slices_of_one_layer_touch_each_other_and_the_next_layer() -> None:
    left, right = tissue(0).obsm["truth"], tissue(0).obsm["truth"] + [WIDE, 0]
    graph = preparation.between_slices([left, right, np.vstack([left, right])], [0, 0, 1])
    n = len(left)
    assert graph[:n, n : 2 * n].nnz == HIGH
    assert graph[: 2 * n, 2 * n :].nnz >= 2 * n


def test_a_common_frame_that_is_none_is_refused(one: Path, tmp_path: Path) -> None:
    far = tissue(2)
    far.obsm["spatial"] = far.obsm["spatial"] + 1000
    far = written(far, tmp_path / "far.h5ad")
    with pytest.raises(
        InputError, match=r"no slice of group g lies on the one before it \(far, one\).*frame='transport'"
    ):
        group.align(group.Common.of("g", {"one": one, "far": far}), None, transport=False)
    visium = {}
    for name, scale in {"pixels": 4.0, "micrometres": 1.0}.items():
        adata = tissue(2)
        adata.obsm["spatial"] = scale * adata.obsm["spatial"]
        visium[name] = written(adata, tmp_path / f"{name}.h5ad", "visium")
    with pytest.raises(InputError, match=r"are 1 in micrometres and 4 in pixels apart.*different units"):
        group.align(group.Common.of("g", visium), None, transport=False)


def test_the_same_again(one: Path, tmp_path: Path) -> None:
    prepared = {"two": written(moved(tissue(2, keep=0.9), 90, False), tmp_path / "two.h5ad"), "one": one}
    common = group.Common.of("g", prepared)
    first, second = (group.align(common, None, transport=True) for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize("turn", [-170, 0, 45])
@pytest.mark.parametrize("mirrored", [0, 1])
def test_a_placement_is_what_its_numbers_say(turn: float, mirrored: int) -> None:
    numbers = (turn, mirrored, 2.5, 7, -3)
    found = _placement.Placement.from_numbers(pd.Series(numbers, _placement.NUMBERS))
    assert found.numbers() == pytest.approx(numbers)
    angle = np.radians(turn)
    x, y = (-1.0 if mirrored else 1.0), 2.0
    expected = [2.5 * (x * np.cos(angle) - y * np.sin(angle)) + 7, 2.5 * (x * np.sin(angle) + y * np.cos(angle)) - 3]
    assert found(np.array([[1.0, 2.0]]))[0] == pytest.approx(expected)
