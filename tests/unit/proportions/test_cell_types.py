"""Types of single cells, on counts that are made: eight types, each with markers of its own."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import proportions, tl
from spotfuse._core.errors import InputError

TYPES = [f"type {k}" for k in range(8)]


def profiles() -> np.ndarray:
    base = np.random.default_rng(0).gamma(1, 1, (len(TYPES), 120))
    for k in range(len(TYPES)):
        base[k, 15 * k : 15 * k + 15] *= 6
    return base / base.sum(axis=1, keepdims=True)


def cells(codes: np.ndarray, depth: float, seed: int, factors: float | np.ndarray = 1.0) -> sparse.csr_matrix:
    random = np.random.default_rng(seed)
    depths = depth * np.exp(random.normal(0, 0.15, len(codes)))[:, None]
    return sparse.csr_matrix(random.poisson(depths * factors * profiles()[codes]).astype(np.float32))


def slice_of(X: sparse.csr_matrix, platform: str = "xenium") -> AnnData:
    adata = AnnData(X, var=pd.DataFrame(index=[f"g{i:03d}" for i in range(X.shape[1])]))
    adata.obs_names = [f"cell {i:03d}" for i in range(X.shape[0])]
    adata.obsm["spatial"] = np.random.default_rng(0).random((X.shape[0], 2)) * 100
    adata.uns["spotfuse"] = {"platform": platform, "notes": []}
    return adata


@pytest.fixture(scope="module")
def reference() -> AnnData:
    codes = np.repeat(np.arange(len(TYPES)), 60)
    adata = slice_of(cells(codes, 1500, 1))
    adata.obs["cell_type"] = np.array(TYPES)[codes]
    return proportions.as_reference(adata)


CODES = np.random.default_rng(2).integers(0, len(TYPES), 400)


def test_cells_have_their_types_though_another_platform_sees_less(reference: AnnData) -> None:
    factors = np.exp(np.random.default_rng(3).normal(0, 0.5, 120))
    for X in (cells(CODES, 1500, 4), cells(CODES, 120, 4), cells(CODES, 200, 4, factors)):
        table = proportions.cell_types(slice_of(X), reference).table
        assert list(table) == ["first_type", "probability", "second_type", "class"]
        right = table["first_type"].to_numpy() == np.array(TYPES)[CODES]
        assert right.mean() > 0.97 and (table["first_type"] != table["second_type"]).all()
        assert table["probability"].between(1 / len(TYPES), 1).all()
        assert (table["class"] == "singlet").mean() > 0.8


def test_planted_doublets_are_found_with_both_types(reference: AnnData) -> None:
    X = cells(CODES, 300, 5)
    two = np.arange(40)
    other = (CODES[two] + 1 + two % 7) % len(TYPES)
    X = sparse.csr_matrix(sparse.vstack([X[:40] + cells(other, 300, 6), X[40:]]))
    table = proportions.cell_types(slice_of(X), reference).table
    found = (table["class"] == "doublet").to_numpy()
    assert found[:40].mean() > 0.9 and found[40:].mean() < 0.1
    both = [{TYPES[i], TYPES[k]} == set(pair) for i, k, pair in zip(
        CODES[:40], other, table[["first_type", "second_type"]].to_numpy()[:40], strict=True
    )]  # fmt: skip
    assert np.mean(both) > 0.9


def test_a_type_that_the_reference_lacks_is_none_and_told(reference: AnnData) -> None:
    st = slice_of(cells(CODES, 1500, 7))
    found = proportions.cell_types(st, reference[reference.obs["cell_type"] != "type 3"].copy())
    none = (found.table["class"] == "no type").to_numpy()
    assert none[CODES == 3].mean() > 0.9 and none[CODES != 3].mean() < 0.05
    assert any("like no type" in note for note in found.summary["notes"])
    assert proportions.obs_of(found.table)["cell_type"].isna().to_numpy().tolist() == none.tolist()


def test_one_type_for_nearly_all_and_few_shared_genes_are_told(reference: AnnData) -> None:
    st = slice_of(cells(np.zeros(200, int), 800, 8))
    found = proportions.cell_types(st, reference)
    assert any("of the cells are typed 'type 0'" in note for note in found.summary["notes"])
    st = slice_of(cells(CODES, 800, 9))
    st.var_names = [*st.var_names[:45], *(f"other{i}" for i in range(75))]
    notes = proportions.cell_types(st, reference[:, :90].copy()).summary["notes"]
    assert any("share 45 of the slice's 120 genes" in note for note in notes)


def test_cells_without_counts_and_rare_types_break_nothing(reference: AnnData) -> None:
    X = cells(CODES, 300, 10).tolil()
    X[3] = 0
    few = reference[reference.obs.groupby("cell_type", observed=True).cumcount() < 2].copy()
    for of in (reference, few):
        table = proportions.cell_types(slice_of(sparse.csr_matrix(X)), of).table
        assert table["class"].iloc[3] == "no type" and table["first_type"].iloc[3] == ""
        assert set(table["class"]) <= {"singlet", "doublet", "unsure", "no type"}
        assert (table["first_type"].drop(index="cell 003") != "").all()


def test_the_same_call_gives_the_same_types_and_the_order_of_cells_none_other(reference: AnnData) -> None:
    st = slice_of(cells(CODES, 300, 11))
    one, two = (proportions.cell_types(st, reference).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize("platform", ["xenium", "other_cells", "visium"])
def test_a_notebook_gets_types_of_cells_alone(reference: AnnData, platform: str) -> None:
    st = slice_of(cells(CODES[:60], 300, 12), platform)
    st.obs["cell_type"] = "mine"
    tl.proportions(st, reference)
    assert ("cell_type_class" in st.obs) == ("cell_types" in st.obsm) == (platform != "visium")
    if platform != "visium":
        assert set(st.obs["input_cell_type"]) == {"mine"}
        assert (st.obs["cell_type"].astype(str) == np.array(TYPES)[CODES[:60]]).mean() > 0.9
        tl.proportions(st, reference)
        assert set(st.obs["input_cell_type"]) == {"mine"}


def test_too_few_shared_genes_are_refused(reference: AnnData) -> None:
    st = slice_of(cells(CODES, 300, 13))
    st.var_names = [f"other{i}" for i in range(120)]
    with pytest.raises(InputError, match="share 0 genes"):
        proportions.cell_types(st, reference)
