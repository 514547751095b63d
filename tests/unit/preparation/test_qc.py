import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import preparation
from spotfuse._core.errors import InputError
from spotfuse.preparation import _qc


@pytest.fixture
def slice_() -> AnnData:
    counts = np.array(
        [
            [5, 0, 3, 2],  # half of it mitochondrial
            [0, 0, 0, 0],
            [1, 0, 0, 0],
            [0, 1, 4, 5],  # off the tissue
            [0, 2, 4, 5],
            [0, 2, 4, 5],  # nowhere
            [0, 2, 4, 5],
        ]
    )
    adata = AnnData(
        sparse.csr_matrix(counts, dtype=np.float32),
        obs=pd.DataFrame({"in_tissue": [1, 1, 1, 0, 1, 1, 1]}, index=list("abcdefg")),
        var=pd.DataFrame(index=["mt-Nd1", "MTOR", "B", "C"]),
    )
    adata.obsm["spatial"] = np.arange(14.0).reshape(7, 2)
    adata.obsm["spatial"][5, 1] = np.nan
    return adata


def test_what_is_dropped_and_why(slice_: AnnData) -> None:
    kept, table = preparation.quality_control(slice_, min_counts=2, max_mt_share=0.4, min_spots=1)
    assert list(kept.obs_names) == ["e", "g"]
    assert list(table.columns) == ["spot", "n_counts", "n_genes", "mt_share", "kept", "reason", "x", "y"]
    assert table.set_index("spot")["reason"].to_dict() == {
        "a": "mitochondrial share above 0.4",
        "b": "no counts",
        "c": "fewer than 2 counts; mitochondrial share above 0.4",
        "d": "off tissue",
        "e": "",
        "f": "no coordinates",
        "g": "",
    }
    assert (table["kept"] == (table["reason"] == "")).all()
    assert table["mt_share"].tolist() == [0.5, 0, 1, 0, 0, 0, 0]
    assert kept.obs["n_genes"].tolist() == [3, 3] and kept.obs["n_counts"].tolist() == [11, 11]


@pytest.mark.parametrize("values", [[True, False], ["1", "0"], ["True", "False"], [1.0, 0.0]])
def test_off_tissue_in_any_notation(slice_: AnnData, values: list[object]) -> None:
    slice_.obs["in_tissue"] = pd.Categorical([values[0]] * 4 + [values[1]] * 3)
    assert (
        preparation.quality_control(slice_, min_spots=1)[1]["reason"].str.contains("off tissue").tolist()
        == [False] * 4 + [True] * 3
    )


def test_defaults_drop_only_what_nothing_can_be_said_of(slice_: AnnData) -> None:
    kept, _ = preparation.quality_control(slice_)
    assert list(kept.obs_names) == list("aceg")


def test_genes_are_counted_over_the_kept_spots(slice_: AnnData) -> None:
    kept, _ = preparation.quality_control(slice_, min_genes=2, min_spots=3)
    assert list(kept.obs_names) == list("aeg")
    assert list(kept.var_names) == ["B", "C"]


def test_nothing_left_says_why(slice_: AnnData) -> None:
    with pytest.raises(
        InputError, match=r"no spot of 7 \(1 off tissue, 1 no coordinates, 1 no counts, 6 fewer than 99 c"
    ):
        preparation.quality_control(slice_, min_counts=99, min_genes=0)
    with pytest.raises(InputError, match="no gene has counts in 9 spots"):
        preparation.quality_control(slice_, min_spots=9)


def test_taking_is_what_anndata_does(monkeypatch):
    rng = np.random.default_rng(0)
    adata = AnnData(
        sparse.csr_matrix(rng.poisson(0.5, (30, 20)).astype(np.float32)),
        obs=pd.DataFrame({"a": np.arange(30)}, index=[f"s{i}" for i in range(30)]),
        obsm={"spatial": rng.random((30, 2))},
        uns={"spotfuse": {"kind": "h5ad"}},
    )
    spots, genes = rng.permutation(30)[:23], rng.permutation(20)[:11]
    monkeypatch.setattr(_qc, "_BLOCK", 10)
    taken, expected = preparation.take(adata, spots, genes), adata[spots, genes].copy()
    assert (taken.X != expected.X).nnz == 0 and taken.X.has_canonical_format
    assert taken.obs.equals(expected.obs) and taken.var_names.equals(expected.var_names) and taken.uns == expected.uns
    np.testing.assert_array_equal(taken.obsm["spatial"], expected.obsm["spatial"])


@pytest.mark.parametrize("kinds", [2, 5, 400])
def test_the_order_hangs_on_neither_names_nor_rows_nor_genes_nor_the_frame(kinds: int) -> None:
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(1.0, (kinds, 12)).astype(np.float32)[rng.integers(kinds, size=400)])
    place = np.stack(np.divmod(np.arange(400), 20), axis=1).astype(
        float
    )  # an array: many spots are as far from its middle
    order = preparation.neutral_order(counts, list("abcdefghijkl"), pd.Index([f"s{i}" for i in range(400)]), place)
    assert sorted(order) == list(range(400))
    rows, genes = rng.permutation(400), rng.permutation(14)
    turn = np.array([[np.cos(1), np.sin(1)], [np.sin(1), -np.cos(1)]])
    other = preparation.neutral_order(
        sparse.csr_matrix(sparse.hstack([counts, sparse.csr_matrix((400, 2))]))[rows][:, genes],
        np.array(list("abcdefghijklyz"))[genes],
        pd.Index([f"n{i}" for i in range(400)]),
        3.7 * place[rows] @ turn - [1e4, 5e4],
    )
    assert rows[other].tolist() == order.tolist()


def test_equal_spots_on_one_place_go_by_name() -> None:
    counts = sparse.csr_matrix(np.ones((4, 2), np.float32))
    names = pd.Index(list("cadb"))
    assert names[preparation.neutral_order(counts, ["x", "y"], names, np.ones((4, 2)))].tolist() == list("abcd")
    assert names[preparation.neutral_order(counts, ["x", "y"], names)].tolist() == list("abcd")


def test_the_order_tells_counts_and_genes_apart() -> None:
    rng = np.random.default_rng(1)
    counts = sparse.csr_matrix(rng.integers(0, 3, (100_000, 12)).astype(np.float32))
    names = pd.Index(np.arange(100_000).astype(str))
    order = preparation.neutral_order(counts, [f"g{i}" for i in range(12)], names)
    rows = counts[order].toarray()
    # equal spots stand together: as many runs as there are kinds of spots
    assert (rows[1:] != rows[:-1]).any(axis=1).sum() + 1 == len(np.unique(rows, axis=0))
