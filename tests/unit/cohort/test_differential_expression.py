"""Expression that differs between conditions is found, and nothing else is; markers that come again are told."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from spotfuse import cohort
from spotfuse._core import tables

N_PLANTED, CHANGE = 20, 1.5


def two_conditions(n: int, n_genes: int, seed: int, planted: int = 0, slices: int = 1):
    """n donors with and n without the condition, two domains; in domain 1 of the former some genes are higher."""
    random = np.random.default_rng(seed)
    mean = random.gamma(0.7, 60, n_genes) + 20
    sheet, found = [], {}
    for i in range(2 * n):
        own = mean * random.gamma(20, 1 / 20, n_genes)
        if i < n:
            own[:planted] *= 2**CHANGE
        for k in range(slices):
            sample = f"S{i}_{k}"
            counts = random.poisson(own * random.uniform(0.5, 2))
            genes = [f"g{j}" for j in range(n_genes)]
            found[sample] = pd.DataFrame({"1": counts, "2": random.poisson(mean)}, index=genes)
            sheet.append({"sample": sample, "condition": "case" if i < n else "control", "donor": f"d{i}"})
    rows = [(name, 1, 1, 1.0) for name in found]
    return sheet, found, pd.DataFrame(rows, columns=["sample", "domain", "matched", "score"])


def test_a_planted_change_is_found():
    table = cohort.differential_expression(*two_conditions(5, 200, 0, N_PLANTED))
    assert list(table) == cohort.DIFFERENTIAL_EXPRESSION and set(table["domain"]) == {"1"}
    assert (table[["column", "level", "reference_level"]] == ["condition", "case", "control"]).all(axis=None)
    planted = table[table["gene"].isin({f"g{i}" for i in range(N_PLANTED)})]
    assert (planted["p_adjusted"] < 0.05).sum() >= 0.9 * N_PLANTED
    assert ((planted["low"] < CHANGE) & (CHANGE < planted["high"])).mean() >= 0.8
    others = table.drop(planted.index)
    assert (others["p_adjusted"] < 0.05).sum() <= 0.1 * N_PLANTED and table["p"].is_monotonic_increasing


def test_nothing_is_found_where_nothing_is():
    table = cohort.differential_expression(*two_conditions(6, 300, 1))
    assert len(table) == 300 and stats.kstest(table["p"].dropna(), "uniform").pvalue > 0.01
    assert (table["p_adjusted"] < 0.05).sum() <= 1


@pytest.mark.parametrize(("n", "said"), [(1, "only one on a side"), (2, "two on a side")])
def test_with_too_few_donors_nothing_is_tested(n: int, said: str):
    table = cohort.differential_expression(*two_conditions(n, 100, 2, N_PLANTED, slices=3))
    assert (table["n"] == n).all() and table[["low", "high", "p", "p_adjusted"]].isna().all(axis=None)
    assert table["note"].str.startswith(said).all()
    assert {f"g{i}" for i in range(N_PLANTED)} & set(table["gene"][:10]) and len(table) == 100


def test_slices_of_a_donor_are_summed():
    sheet, counts, matched = two_conditions(3, 60, 3, slices=2)
    table = cohort.differential_expression(sheet, counts, matched)
    assert (table["n"] == 3).all() and (table["n_reference"] == 3).all()
    merged, rows = {}, []
    for name in {row["donor"] for row in sheet}:
        merged[name] = sum(counts[row["sample"]] for row in sheet if row["donor"] == name)
        rows.append({"sample": name, "condition": next(row["condition"] for row in sheet if row["donor"] == name)})
    both = pd.DataFrame({"sample": list(merged), "domain": 1, "matched": 1, "score": 1.0})
    alone = cohort.differential_expression(rows, merged, both)
    pd.testing.assert_frame_equal(
        alone.set_index("gene").loc[table["gene"]], table.set_index("gene"), check_dtype=False
    )


def test_donors_on_both_sides_are_terms_of_the_model():
    sheet, counts, matched = two_conditions(4, 60, 4)
    random = np.random.default_rng(0)
    for i in range(4):  # donors that differ much, and conditions that do not
        own = random.gamma(2, 200, 60) + 20
        for k in (i, i + 4):
            counts[f"S{k}_0"]["1"] = random.poisson(own * (1 + (np.arange(60) < 5) * (k < 4)))
    apart = cohort.differential_expression(sheet, counts, matched)
    for i, row in enumerate(sheet):
        row["donor"] = f"d{i % 4}"
    paired = cohort.differential_expression(sheet, counts, matched)
    changed = {f"g{i}" for i in range(5)}
    assert set(paired["gene"][:5]) == changed and (paired["p_adjusted"][:5] < 0.01).all()
    assert (apart["p_adjusted"] > 0.01).all() and (paired["note"] == "").all()


def test_rare_genes_and_those_of_few_slices_are_left_out():
    sheet, counts, matched = two_conditions(2, 30, 5)
    for i, name in enumerate(counts):
        counts[name].loc["g0", "1"] = 3
        counts[name] = counts[name].drop(index=["g1"] * (i % 2) + ["g2"] * (i == 0))
    genes = set(cohort.differential_expression(sheet, counts, matched)["gene"])
    assert not genes & {"g0", "g1"} and "g2" in genes and len(genes) == 28


def test_where_nothing_is_compared_the_library_is_not_loaded(monkeypatch: pytest.MonkeyPatch):
    sheet, counts, matched = two_conditions(3, 20, 6)
    monkeypatch.setitem(sys.modules, "pydeseq2.dds", None)  # an import would fail
    assert cohort.differential_expression(sheet, counts, matched.assign(matched=np.nan)).empty
    assert cohort.differential_expression([{"sample": row["sample"]} for row in sheet], counts, matched).empty
    assert cohort.differential_expression([], {}, matched[:0]).empty
    for row in sheet:
        row["donor"] = row["condition"]
    assert len(cohort.differential_expression(sheet, counts, matched)) == 20
    with pytest.raises(ImportError):
        cohort.differential_expression([row | {"donor": row["sample"]} for row in sheet], counts, matched)


def test_markers_that_come_again_stand_first(tmp_path: Path):
    _, counts, matched = two_conditions(2, 30, 7)
    for i, (name, table) in enumerate(counts.items()):
        table.loc[["g0", "g1", "g2"], "1"] *= 8
        genes = ["g0", "g1", f"g{9 + i}", *(["g2"] if i < 2 else [])]
        found = pd.DataFrame({"domain": 1, "gene": genes, "log_fold_change": 3.0, "p_adjusted": 1e-9})
        found.loc[len(found)] = [2, "g3", 3.0, 1e-9]  # of a domain that is like no other
        found.loc[len(found)] = [1, "g4", 3.0, 0.3]
        (tmp_path / name).mkdir()
        tables.write(found, tmp_path / name / "markers.tsv")
    table = cohort.recurring_markers({name: tmp_path / name for name in counts}, counts, matched)
    assert list(table) == cohort.RECURRING_MARKERS and set(table["gene"][:2]) == {"g0", "g1"}
    assert table[["n_slices", "n_marker"]].values.tolist() == [[4, 4], [4, 4], [4, 2]] and table["gene"][2] == "g2"
    assert (table["lowest"] <= table["log_fold_change"]).all() and (table["highest"] >= table["log_fold_change"]).all()
    assert table["log_fold_change"].between(1.5, 5).all()
    assert cohort.recurring_markers({}, {}, matched).empty
