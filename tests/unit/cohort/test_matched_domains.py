"""Domains of slices that were learned apart are matched by what they express, others by their numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import cohort, patterns
from spotfuse._core import tables

GENES = [f"G{i}" for i in range(300)]


def tissue(n_domains: int, seed: int) -> np.ndarray:
    """Mean expression of domains, each with genes of its own."""
    return np.random.default_rng(seed).gamma(0.5, 1.0, (n_domains, len(GENES)))


def counts(means: np.ndarray, order: list[int], seed: int) -> pd.DataFrame:
    """A slice with some of these domains, in an order and of depths of its own, with most of the genes."""
    random = np.random.default_rng(seed)
    values = means[order] * random.uniform(0.7, 1.3, len(GENES)) * random.uniform(50, 500, (len(order), 1))
    kept = np.sort(random.choice(len(GENES), 250, replace=False))
    columns = {str(k): random.poisson(values[k - 1, kept]) for k in range(1, len(order) + 1)}
    return pd.DataFrame(columns, index=[GENES[i] for i in kept])


def matched(found: dict[str, pd.DataFrame]) -> dict[str, list[int | None]]:
    table = cohort.match_domains(found)
    return {
        name: [None if pd.isna(number) else int(number) for number in part["matched"]]
        for name, part in table.groupby("sample")
    }


def test_a_permuted_copy_is_matched_back_exactly():
    copy = counts(tissue(6, 0), [0, 1, 2, 3, 4, 5], 1)
    order = [3, 1, 5, 0, 2, 4]
    other = pd.DataFrame({str(k): copy[str(i + 1)] for k, i in enumerate(order, 1)})
    table = cohort.match_domains({"A": copy, "B": other.sample(frac=1, random_state=0)})
    numbers = table.set_index(["sample", "domain"])["matched"]
    assert [numbers["A", i + 1] for i in order] == list(numbers["B"]) and numbers["A"].nunique() == 6
    np.testing.assert_allclose(table["score"], 1)


def test_many_slices_share_numbers_though_none_has_every_domain():
    means = tissue(5, 3)
    orders = {"A": [0, 1, 2, 3], "B": [4, 3, 2, 1], "C": [2, 0, 4], "D": [0, 1, 2, 3, 4]}
    found = {name: counts(means, order, seed) for seed, (name, order) in enumerate(orders.items())}
    numbers = matched(found)
    seen = {
        (domain, number) for name, order in orders.items() for domain, number in zip(order, numbers[name], strict=True)
    }
    assert len(seen) == 5 and {number for _, number in seen} == {1, 2, 3, 4, 5}


def test_an_unrelated_domain_stays_alone_and_says_how_near_the_next_is():
    means = np.vstack([tissue(4, 0), tissue(2, 9)])
    table = cohort.match_domains({"A": counts(means, [0, 1, 2, 3, 4], 1), "B": counts(means, [5, 2, 1, 0, 3], 2)})
    alone = table[table["matched"].isna()]
    assert alone[["sample", "domain"]].values.tolist() == [["A", 5], ["B", 1]]
    assert (alone["score"] < cohort.LEAST_SCORE).all() and (table["score"].drop(alone.index) > 0.8).all()
    assert cohort.cohort_names(table)["B"] == {"1": "own 1", "2": "3", "3": "2", "4": "1", "5": "4"}


def test_unrelated_slices_keep_their_own_numbers():
    found = {"A": counts(tissue(3, 0), [0, 1, 2], 1), "B": counts(tissue(3, 5), [0, 1, 2], 2)}
    assert (
        cohort.match_domains(found)["matched"].isna().all() and cohort.cohort_names(cohort.match_domains(found)) == {}
    )
    found["B"].index = [f"H{i}" for i in range(250)]  # no gene is shared
    assert matched(found) == {"A": [None] * 3, "B": [None] * 3} and cohort.match_domains(found)["score"].isna().all()
    assert cohort.match_domains({"A": found["A"][["1"]], "B": found["A"][["1"]]})["matched"].isna().all()


def test_the_order_of_slices_changes_nothing():
    means = tissue(5, 3)
    found = {name: counts(means, [k % 5, (k + 1) % 5, (k + 3) % 5], k) for k, name in enumerate("ABCDEF")}
    turned = {name: found[name] for name in "DAFCEB"}
    pd.testing.assert_frame_equal(cohort.match_domains(found), cohort.match_domains(turned))


def test_two_domains_of_a_slice_are_never_one():
    means = tissue(3, 0)
    twins = counts(np.vstack([means, means[:1]]), [0, 1, 2, 3], 1)
    numbers = matched({"A": twins, "B": counts(means, [0, 1, 2], 2)})
    assert sorted(numbers["A"], key=str) == [1, 2, 3, None] and sorted(numbers["B"]) == [1, 2, 3]


@pytest.mark.parametrize("empty", [{}, {"A": counts(tissue(2, 0), [0, 1], 1)}])
def test_one_slice_or_none_is_no_cohort(empty: dict[str, pd.DataFrame]):
    table = cohort.match_domains(empty)
    assert list(table) == ["sample", "domain", "matched", "score"] and table["matched"].isna().all()


def test_counts_are_summed_over_the_spots_of_a_domain(tmp_path: Path):
    values = np.random.default_rng(0).poisson(20, (40, 6)).astype(np.float32)
    labels = np.repeat([1, 2], [30, 10])
    obs, var = (pd.DataFrame(index=[f"{kind}{i}" for i in range(n)]) for kind, n in (("s", 40), ("g", 6)))
    adata = AnnData(sparse.csr_matrix(values), obs=obs, var=var)
    table = patterns.pseudobulk_counts(adata, pd.Series(labels.astype(str), adata.obs_names)[::-1])
    assert list(table) == ["gene", "1", "2"] and list(table["gene"]) == list(adata.var_names)
    assert table["2"].tolist() == values[labels == 2].sum(axis=0).tolist() and table["1"].dtype.kind == "i"
    tables.write(table, tmp_path / "domain_counts.tsv")
    read = cohort.read_counts({"A": tmp_path, "B": tmp_path / "nowhere"})
    assert list(read) == ["A"] and (read["A"].to_numpy() == table[["1", "2"]].to_numpy()).all()


def test_fold_changes_are_against_the_rest_and_shrink_where_counts_are_few():
    table = pd.DataFrame({"1": [800, 100, 8, 92], "2": [100, 100, 1, 799]}, index=list("abcd"))
    change = patterns.fold_changes(table, 20)
    assert change.loc["a", "1"] == pytest.approx(np.log2(820 / 120)) == -change.loc["a", "2"]
    assert change.loc["b", "1"] == 0 and abs(change.loc["c", "1"]) < 0.5 < 3 == np.log2(8)
    assert (patterns.fold_changes(table[["1"]], 20) == 0).all(axis=None)  # nothing to compare with


def test_patients_whose_domains_differ_in_genes_of_their_own_too_are_matched():
    random, n = np.random.default_rng(0), 6000
    base, shared = random.gamma(0.5, 50, n), np.where(np.arange(n) < 500, random.normal(0, 1.5, (3, n)), 0)
    found = {}
    for sample in "AB":
        own = np.where(random.random(n) < 0.15, random.normal(0, 1.5, (3, n)), 0)
        values = random.poisson(base * 2 ** (shared + own))
        found[sample] = pd.DataFrame(values.T, index=[f"G{i}" for i in range(n)], columns=list("123"))
    best = [set(patterns.fold_changes(table, 20).var(axis=1).nlargest(500).index) for table in found.values()]
    assert len(best[0] & best[1]) < 250  # most of a slice's first genes are its own
    assert matched(found) == {"A": [1, 2, 3], "B": [1, 2, 3]}


def test_permuted_genes_and_few_genes_are_not_matched():
    found = {name: counts(tissue(6, 0), list(range(6)), seed) for seed, name in enumerate("AB")}
    found["B"].index = np.random.default_rng(1).permutation(found["B"].index)
    table = cohort.match_domains(found)
    assert table["matched"].isna().all() and table["score"].between(-0.4, 0.4).all()
    few = {"A": found["A"].iloc[:29], "B": found["A"].iloc[:29]}
    assert cohort.match_domains(few)["score"].isna().all() and cohort.match_domains(few)["matched"].isna().all()


def test_composition_speaks_of_matched_domains(tmp_path: Path):
    means = tissue(3, 0)
    for name, order, labels in (("A", [0, 1, 2], [1, 1, 2, 3]), ("B", [2, 0, 1], [1, 1, 2, 2])):
        (tmp_path / name).mkdir()
        found = counts(means, order, len(name)).rename_axis("gene").reset_index()
        tables.write(found, tmp_path / name / "domain_counts.tsv")
        spots = [f"s{i}" for i in range(4)]
        tables.write(pd.DataFrame({"spot": spots, "domain": labels, "confidence": 1}), tmp_path / name / "domains.tsv")
    slices = {name: tmp_path / name for name in "AB"}
    names = cohort.cohort_names(cohort.match_domains(cohort.read_counts(slices)))
    table = cohort.composition([{"sample": "A"}, {"sample": "B"}], slices, names)
    shares = table.set_index(["sample", "name"])["share"]
    assert shares["B"][names["A"]["3"]] == 0.5 and shares["B"][names["A"]["1"]] == 0.5
    assert shares["A"][names["A"]["1"]] == 0.5 and shares["A"][names["A"]["3"]] == 0.25


def test_slices_learned_together_keep_their_numbers_whatever_they_express():
    found = {"A": counts(tissue(3, 0), [0, 1, 2], 1), "B": counts(tissue(3, 9), [2, 1, 0], 2).drop(columns="2")}
    table = cohort.match_domains(found, {"A": "g", "B": "g"})
    assert table["matched"].tolist() == table["domain"].tolist() == [1, 2, 3, 1, 3]
    assert np.isnan(table["score"][1])  # domain 2 is in one slice alone
    assert cohort.cohort_names(table)["A"] == {"1": "1", "2": "2", "3": "3"}


def test_a_group_is_matched_as_one_with_slices_that_were_learned_alone():
    means = tissue(4, 5)
    found = {
        "A": counts(means, [0, 1, 2], 1),
        "B": counts(means, [0, 1, 2], 2),
        "C": counts(means, [2, 3, 0], 3),  # alone
    }
    table = cohort.match_domains(found, {"A": "C", "B": "C"}).set_index(["sample", "domain"])[
        "matched"
    ]  # named as a slice
    assert [table["A", k] for k in (1, 2, 3)] == [table["B", k] for k in (1, 2, 3)]
    assert table["C", 1] == table["A", 3] and table["C", 3] == table["A", 1] and pd.isna(table["C", 2])
    assert pd.notna(table["A", 2])  # of two slices, though of one group
