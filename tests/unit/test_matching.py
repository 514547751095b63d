"""Domains of slices that were learned apart are matched by what they express, others by their numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import cohort, matching, tables

GENES = [f"G{i}" for i in range(300)]


def tissue(n_domains: int, seed: int) -> np.ndarray:
    """Mean expression of domains, each with genes of its own."""
    return np.random.default_rng(seed).gamma(0.5, 1.0, (n_domains, len(GENES)))


def profiles(means: np.ndarray, order: list[int], seed: int) -> pd.DataFrame:
    """A slice with some of these domains, in an order of its own, depth of its own, noise and few other genes."""
    random = np.random.default_rng(seed)
    values = means[order] * random.uniform(0.7, 1.3, len(GENES)) + random.normal(0, 0.1, (len(order), len(GENES)))
    kept = np.sort(random.choice(len(GENES), 250, replace=False))
    columns = {str(k): values[k - 1, kept] for k in range(1, len(order) + 1)}
    return pd.DataFrame({"gene": [GENES[i] for i in kept], **columns})


def matched(found: dict[str, pd.DataFrame]) -> dict[str, list[int | None]]:
    table = matching.match(found)
    return {
        name: [None if pd.isna(number) else int(number) for number in part["matched"]]
        for name, part in table.groupby("sample")
    }


def test_a_permuted_copy_is_matched_back_exactly():
    copy = profiles(tissue(6, 0), [0, 1, 2, 3, 4, 5], 1)
    order = [3, 1, 5, 0, 2, 4]
    other = copy[["gene"]].assign(**{str(k): copy[str(i + 1)] for k, i in enumerate(order, 1)})
    table = matching.match({"A": copy, "B": other.sample(frac=1, random_state=0)})
    numbers = table.set_index(["sample", "domain"])["matched"]
    assert [numbers["A", i + 1] for i in order] == list(numbers["B"]) and numbers["A"].nunique() == 6
    np.testing.assert_allclose(table["score"], 1)


def test_many_slices_share_numbers_though_none_has_every_domain():
    means = tissue(5, 3)
    orders = {"A": [0, 1, 2, 3], "B": [4, 3, 2, 1], "C": [2, 0, 4], "D": [0, 1, 2, 3, 4]}
    found = {name: profiles(means, order, seed) for seed, (name, order) in enumerate(orders.items())}
    numbers = matched(found)
    seen = {
        (domain, number) for name, order in orders.items() for domain, number in zip(order, numbers[name], strict=True)
    }
    assert len(seen) == 5 and {number for _, number in seen} == {1, 2, 3, 4, 5}


def test_an_unrelated_domain_stays_alone_and_says_how_near_the_next_is():
    means = np.vstack([tissue(4, 0), tissue(2, 9)])
    table = matching.match({"A": profiles(means, [0, 1, 2, 3, 4], 1), "B": profiles(means, [5, 2, 1, 0, 3], 2)})
    alone = table[table["matched"].isna()]
    assert alone[["sample", "domain"]].values.tolist() == [["A", 5], ["B", 1]]
    assert (alone["score"] < matching.LEAST_SCORE).all() and (table["score"].drop(alone.index) > 0.8).all()
    assert matching.names(table)["B"] == {"1": "own 1", "2": "3", "3": "2", "4": "1", "5": "4"}


def test_unrelated_slices_keep_their_own_numbers():
    found = {"A": profiles(tissue(3, 0), [0, 1, 2], 1), "B": profiles(tissue(3, 5), [0, 1, 2], 2)}
    assert matching.match(found)["matched"].isna().all() and matching.names(matching.match(found)) == {}
    found["B"]["gene"] = [f"H{i}" for i in range(250)]  # no gene is shared
    assert matched(found) == {"A": [None] * 3, "B": [None] * 3} and matching.match(found)["score"].isna().all()
    assert matching.match({"A": found["A"][["gene", "1"]], "B": found["A"][["gene", "1"]]})["matched"].isna().all()


def test_the_order_of_slices_changes_nothing():
    means = tissue(5, 3)
    found = {name: profiles(means, [k % 5, (k + 1) % 5, (k + 3) % 5], k) for k, name in enumerate("ABCDEF")}
    turned = {name: found[name] for name in "DAFCEB"}
    pd.testing.assert_frame_equal(matching.match(found), matching.match(turned))


def test_two_domains_of_a_slice_are_never_one():
    means = tissue(3, 0)
    twins = profiles(np.vstack([means, means[:1]]), [0, 1, 2, 3], 1)
    numbers = matched({"A": twins, "B": profiles(means, [0, 1, 2], 2)})
    assert sorted(numbers["A"], key=str) == [1, 2, 3, None] and sorted(numbers["B"]) == [1, 2, 3]


@pytest.mark.parametrize("empty", [{}, {"A": profiles(tissue(2, 0), [0, 1], 1)}])
def test_one_slice_or_none_is_no_cohort(empty: dict[str, pd.DataFrame]):
    table = matching.match(empty)
    assert list(table) == ["sample", "domain", "matched", "score"] and table["matched"].isna().all()


def test_profiles_are_means_of_the_genes_that_tell_domains_apart():
    random = np.random.default_rng(0)
    labels = np.repeat([1, 2], [30, 10])
    counts = random.poisson(20, (40, 6)).astype(np.float32)
    counts[labels == 2, 4] += 60
    adata = AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"s{i}" for i in range(40)]),
        var=pd.DataFrame({"highly_variable": [True] * 5 + [False]}, index=list("fedcba")),
    )
    domains = pd.Series(labels.astype(str), adata.obs_names)[::-1]
    table = matching.profiles(adata, domains)
    assert list(table) == ["gene", "1", "2"] and list(table["gene"]) == list("bcdef")
    expected = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)[labels == 2, 4].mean()
    assert table.set_index("gene").loc["b", "2"] == pytest.approx(expected, rel=1e-5)
    assert list(matching.profiles(adata, domains, 1)["gene"]) == ["b"]
    sums = matching.counts(adata, domains)
    assert list(sums["gene"]) == list("fedcba") and sums["2"].tolist() == counts[labels == 2].sum(axis=0).tolist()
    assert sums["1"].dtype.kind == "i"


def test_composition_speaks_of_matched_domains(tmp_path: Path):
    means = tissue(3, 0)
    for name, order, labels in (("A", [0, 1, 2], [1, 1, 2, 3]), ("B", [2, 0, 1], [1, 1, 2, 2])):
        (tmp_path / name).mkdir()
        tables.write(profiles(means, order, len(name)), tmp_path / name / "domain_profiles.tsv")
        spots = [f"s{i}" for i in range(4)]
        tables.write(pd.DataFrame({"spot": spots, "domain": labels, "confidence": 1}), tmp_path / name / "domains.tsv")
    slices = {name: tmp_path / name for name in "AB"}
    names = matching.names(matching.of_slices(slices))
    table = cohort.composition([{"sample": "A"}, {"sample": "B"}], slices, names)
    shares = table.set_index(["sample", "name"])["share"]
    assert shares["B"][names["A"]["3"]] == 0.5 and shares["B"][names["A"]["1"]] == 0.5
    assert shares["A"][names["A"]["1"]] == 0.5 and shares["A"][names["A"]["3"]] == 0.25


def test_slices_learned_together_keep_their_numbers_whatever_they_express():
    found = {"A": profiles(tissue(3, 0), [0, 1, 2], 1), "B": profiles(tissue(3, 9), [2, 1, 0], 2).drop(columns="2")}
    table = matching.match(found, {"A": "g", "B": "g"})
    assert table["matched"].tolist() == table["domain"].tolist() == [1, 2, 3, 1, 3]
    assert np.isnan(table["score"][1])  # domain 2 is in one slice alone
    assert matching.names(table)["A"] == {"1": "1", "2": "2", "3": "3"}


def test_a_group_is_matched_as_one_with_slices_that_were_learned_alone():
    means = tissue(4, 5)
    found = {
        "A": profiles(means, [0, 1, 2], 1),
        "B": profiles(means, [0, 1, 2], 2),
        "C": profiles(means, [2, 3, 0], 3),  # alone
    }
    table = matching.match(found, {"A": "C", "B": "C"}).set_index(["sample", "domain"])["matched"]  # named as a slice
    assert [table["A", k] for k in (1, 2, 3)] == [table["B", k] for k in (1, 2, 3)]
    assert table["C", 1] == table["A", 3] and table["C", 3] == table["A", 1] and pd.isna(table["C", 2])
    assert pd.notna(table["A", 2])  # of two slices, though of one group
