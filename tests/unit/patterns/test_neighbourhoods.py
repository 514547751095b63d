"""What lies beside what is found where it is planted, and nowhere else; slices are averaged by donor."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse, stats
from spotfuse import cohort, patterns
from spotfuse._core import tables
from spotfuse.patterns import _neighbourhoods
from spotfuse.preparation import spatial_graph

SIDE = 20
TYPES = ["a", "b", "c"]


def tissue(proportions: np.ndarray | None, domains: np.ndarray | None = None) -> AnnData:
    n = SIDE**2
    adata = AnnData(sparse.csr_matrix((n, 1)), obs=pd.DataFrame(index=[f"s{i}" for i in range(n)]))
    grid = np.stack(np.divmod(np.arange(n), SIDE), axis=1)
    adata.obs["array_row"], adata.obs["array_col"] = grid.T
    adata.obsm["spatial"] = grid.astype(float)
    adata.obsp["spatial_connectivities"] = spatial_graph(adata)
    if domains is not None:
        adata.obs["domain"] = pd.Categorical(domains.astype(str))
    if proportions is not None:
        adata.obsm["proportions"] = proportions.astype(np.float32)
        adata.uns["spotfuse"] = {"cell_types": TYPES}
    return adata


def of_kind(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    return table[table["kind"] == kind].set_index(["name", "neighbour"])


def test_layers_touch_the_next_layer_alone():
    layers = np.repeat([1, 2, 3, 4], SIDE**2 // 4)
    table = of_kind(patterns.neighbourhoods(tissue(None, layers)), "domain_contact")
    assert list(table.index) == [("1", "2"), ("1", "3"), ("1", "4"), ("2", "3"), ("2", "4"), ("3", "4")]
    touching = table["observed"] > 0
    assert list(table.index[touching]) == [("1", "2"), ("2", "3"), ("3", "4")]
    assert table["observed"][touching].nunique() == 1 and table["expected"].nunique() == 1  # layers of one size
    assert table["observed"].sum() == pytest.approx(table["expected"].sum())
    assert (table["log2_ratio"][touching] > 0.9).all() and (table["log2_ratio"][~touching] < -4).all()


def test_types_of_shuffled_spots_have_z_of_a_standard_normal():
    random = np.random.default_rng(0)
    z, inside = [], []
    for _ in range(60):
        spots = random.dirichlet([0.5, 1, 2], SIDE**2)
        table = patterns.neighbourhoods(tissue(spots, random.permutation(np.repeat([1, 2], SIDE**2 // 2))))
        z.append(of_kind(table, "cell_type_contact")["z"])
        inside.append(of_kind(table, "cell_type_in_domain")["z"].iloc[0])
    z = np.array(z)
    assert np.abs(z.mean(axis=0)).max() < 0.45 and np.abs(z.std(axis=0) - 1).max() < 0.3
    for values in (z[:, 0], z[:, 1], z[:, 3], np.array(inside)):
        assert stats.kstest(values, "norm").pvalue > 0.01


def test_observed_and_expected_are_chances_of_pairs_of_cells():
    random = np.random.default_rng(1)
    spots = random.dirichlet([0.5, 1, 2], SIDE**2).astype(np.float32).astype(float)
    adata = tissue(spots)
    table = of_kind(patterns.neighbourhoods(adata), "cell_type_contact")
    assert table["observed"].sum() == pytest.approx(1) and table["expected"].sum() == pytest.approx(1)
    i, j = adata.obsp["spatial_connectivities"].nonzero()
    assert table.loc[("a", "c"), "observed"] == pytest.approx(2 * (spots[i, 0] * spots[j, 2]).mean())
    drawn = []
    for _ in range(2000):
        mixed = spots[random.permutation(len(spots))]
        drawn.append(2 * (mixed[i, 0] * mixed[j, 2]).mean())
    z = (table.loc[("a", "c"), "observed"] - np.mean(drawn)) / np.std(drawn)
    assert table.loc[("a", "c"), "z"] == pytest.approx(z, abs=0.15)
    assert table.loc[("a", "c"), "expected"] == pytest.approx(np.mean(drawn), rel=1e-3)


def test_types_that_lie_together_are_found():
    random = np.random.default_rng(2)
    left = np.tile(np.arange(SIDE) < SIDE // 2, SIDE)
    spots = np.where(left[:, None], [4.0, 4, 1], [1.0, 1, 7])
    spots = np.array([random.dirichlet(row) for row in spots])
    table = patterns.neighbourhoods(tissue(spots, np.where(left, 1, 2)))
    together = of_kind(table, "cell_type_contact")
    assert together.loc[("a", "b"), "z"] > 5 > -5 > together.loc[("a", "c"), "z"]
    inside = of_kind(table, "cell_type_in_domain")
    assert inside.loc[("a", "1"), "observed"] == pytest.approx(4 / 9, abs=0.03)
    assert inside.loc[("a", "1"), "z"] > 5 and inside.loc[("c", "1"), "log2_ratio"] < 0


def test_spots_without_an_estimate_are_left_out():
    random = np.random.default_rng(3)
    spots = random.dirichlet([1, 1, 1], SIDE**2)
    spots[:50] = np.nan
    assert patterns.neighbourhoods(tissue(spots))[["observed", "z"]].notna().all(axis=None)
    assert patterns.neighbourhoods(tissue(np.full((SIDE**2, 3), np.nan))).empty
    assert list(patterns.neighbourhoods(tissue(None))) == _neighbourhoods.NEIGHBOURHOODS


def two_conditions(folder: Path, shift: float) -> tuple[list[dict], dict[str, Path], pd.DataFrame]:
    """Eight donors of two slices; in cases domains 1 and 2 touch more often. The second half numbers them otherwise."""
    random = np.random.default_rng(4)
    sheet, slices, rows = [], {}, []
    for i in range(16):
        case, turned = i % 2 == 0, i >= 8
        own = {"x": "2", "y": "1", "z": "3"} if turned else {"x": "1", "y": "2", "z": "3"}
        ratios = random.normal([shift * case, 0, 0], 0.3)
        table = pd.DataFrame(
            [
                ("domain_contact", *sorted((own[a], own[b])), r)
                for (a, b), r in zip(("xy", "xz", "yz"), ratios, strict=True)
            ]
        )
        table.columns = ["kind", "name", "neighbour", "log2_ratio"]
        (folder / f"S{i}").mkdir()
        tables.write(table, folder / f"S{i}/neighbourhoods.tsv")
        slices[f"S{i}"] = folder / f"S{i}"
        sheet.append({"sample": f"S{i}", "condition": "case" if case else "control", "donor": f"d{i % 8}"})
        rows += [(f"S{i}", int(own[name]), number, 1.0) for number, name in ((1, "x"), (2, "y"), (None, "z"))]
    matched = pd.DataFrame(rows, columns=["sample", "domain", "matched", "score"]).astype({"matched": "Int64"})
    return sheet, slices, matched


def test_slices_are_averaged_by_donor_and_conditions_compared(tmp_path: Path):
    sheet, slices, matched = two_conditions(tmp_path, 2.0)
    beside = cohort.neighbourhoods(slices, matched)
    assert set(zip(beside["name"], beside["neighbour"], strict=True)) == {("1", "2")} and len(beside) == 16
    table = cohort.mean_neighbourhoods(sheet, beside)
    assert list(table) == cohort.NEIGHBOURHOODS
    assert table[["column", "level", "n", "n_slices"]].values.tolist() == [
        ["", "all", 8, 16],
        ["condition", "case", 4, 8],
        ["condition", "control", 4, 8],
    ]
    case, control = table.iloc[1], table.iloc[2]
    assert case["low"] < 2 < case["high"] and case["p"] < 0.01 and control["p"] > 0.01
    donors = (
        beside.assign(donor=[f"d{int(name[1:]) % 8}" for name in beside["sample"]])
        .groupby("donor")["log2_ratio"]
        .mean()
    )
    assert case["p"] == pytest.approx(stats.ttest_1samp(donors[["d0", "d2", "d4", "d6"]], 0).pvalue)
    found = cohort.differences(
        sheet, pd.DataFrame(columns=["sample", "group", "kind", "name", "share"]), matched, beside
    )
    assert found[["kind", "name", "n", "n_reference"]].values.tolist() == [["domain_contact", "1 – 2", 4, 4]]
    assert found["low"][0] < 2 < found["high"][0] and found["p_adjusted"][0] < 0.01


def test_too_few_donors_are_told_and_have_no_p(tmp_path: Path):
    sheet, slices, matched = two_conditions(tmp_path, 0)
    for row in sheet:
        row["donor"] = "d"
    table = cohort.mean_neighbourhoods(sheet, cohort.neighbourhoods(slices, matched))
    assert (table["n"] == 1).all() and table[["low", "high", "p"]].isna().all(axis=None)
    assert table["note"].str.startswith("fewer than 3 donors").all() and table["log2_ratio"].notna().all()
    assert cohort.mean_neighbourhoods(sheet, cohort.neighbourhoods({}, matched)).empty
