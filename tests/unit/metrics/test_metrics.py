import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from spotfuse import metrics
from spotfuse._core.errors import InputError


def adjusted_rand(a: list[str], b: list[str]) -> float:
    """Hubert and Arabie's index, pair by pair."""
    pairs = list(combinations(range(len(a)), 2))
    together_a = [a[i] == a[j] for i, j in pairs]
    together_b = [b[i] == b[j] for i, j in pairs]
    both = sum(x and y for x, y in zip(together_a, together_b, strict=True))
    expected = sum(together_a) * sum(together_b) / len(pairs)
    return (both - expected) / ((sum(together_a) + sum(together_b)) / 2 - expected)


def test_dropped_spots_are_one_more_domain_and_unlabelled_ones_are_not_scored() -> None:
    spots = pd.Index([f"s{i}" for i in range(12)])
    truth = ["A", "A", "A", "A", "B", "B", "B", "B", "B", "NA", np.nan, " "]
    annotation = pd.Series(truth, index=spots, dtype=object)
    annotation["elsewhere"] = "C"
    domains = pd.Series(["1", "1", "1", "2", "2", "2", "2", "1", "1"], index=spots[[0, 1, 2, 3, 4, 5, 6, 9, 10]])
    scores = metrics.domain_scores(domains, annotation, spots)
    expected = adjusted_rand(truth[:9], ["1", "1", "1", "2", "2", "2", "2", "x", "x"])
    assert scores["ari"] == pytest.approx(expected, abs=1e-12)
    assert (scores["n_scored"], scores["n_annotated"]) == (7, 9)
    # dropping the two spots that were wrong must not raise the score to that of a perfect partition
    assert metrics.domain_scores(domains.drop("s3"), annotation, spots)["ari"] < 1


def test_mutual_information_of_a_known_table() -> None:
    spots = pd.Index(list("abcd"))
    truth = pd.Series(["A", "A", "B", "B"], index=spots)
    scores = metrics.domain_scores(pd.Series(["1", "1", "1", "2"], index=spots), truth, spots)
    h_truth, h_found = math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    joint = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25))
    assert scores["nmi"] == pytest.approx((h_truth + h_found - joint) / ((h_truth + h_found) / 2), abs=1e-12)


def test_names_without_ending_and_tables_without_header_lose_no_spot() -> None:
    spots = pd.Index([f"AAC{c}-1" for c in "ACGT"])
    domains = pd.Series(["1", "1", "2", "2"], index=spots)
    table = pd.Series(["A", "B", "B"], index=pd.Index(["AACC", "AACG", "AACT"], name="spot"))
    assert metrics.domain_scores(domains, table, spots)["n_scored"] == 3
    headless = pd.Series(["A", "B", "B"], index=pd.Index(spots[1:], name=spots[0]), name="A")
    assert metrics.domain_scores(domains, headless, spots) == {"ari": 1, "nmi": 1, "n_scored": 4, "n_annotated": 4}


def test_annotation_of_other_spots_is_refused() -> None:
    spots = pd.Index(["a", "b"])
    with pytest.raises(InputError, match="it has 'x', the slice 'a'"):
        metrics.domain_scores(pd.Series("1", index=spots), pd.Series({"x": "A"}), spots)
    with pytest.raises(InputError, match="labels no spot"):
        metrics.domain_scores(pd.Series("1", index=spots), pd.Series({"a": "nan"}), spots)


@pytest.fixture
def proportions() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Six spots; type D is not in the truth, type E not predicted, type C predicted constant, type F true constant."""
    rng = np.random.default_rng(0)
    spots = [f"s{i}" for i in range(6)]
    truth = pd.DataFrame(rng.dirichlet(np.ones(4), 6) * 0.9, index=spots, columns=["A", "B", "C", "E"]).assign(F=0.1)
    predicted = pd.DataFrame(rng.dirichlet(np.ones(3), 6) * 0.7, index=spots, columns=["A", "B", "D"])
    predicted = predicted.assign(C=0.2, F=0.1)
    extra = pd.DataFrame(0.2, index=["more"], columns=predicted.columns)
    return pd.concat([extra, predicted.iloc[::-1]]), truth


def test_proportion_scores_by_hand(proportions: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    predicted, truth = proportions
    scores = metrics.proportion_scores(predicted, truth)
    P = predicted.loc[truth.index].assign(E=0.0)[list("ABCDEF")].to_numpy()
    T = truth.assign(D=0.0)[list("ABCDEF")].to_numpy()
    assert scores["n_types_skipped"] == 2  # D and F
    rmse = [math.sqrt(np.mean((P[:, k] - T[:, k]) ** 2)) for k in (0, 1, 2, 4)]
    assert scores["rmse"] == pytest.approx(np.mean(rmse), rel=1e-12)
    r = [pearsonr(P[:, k], T[:, k]).statistic for k in (0, 1)] + [0, 0]
    assert scores["pcc_per_type"] == pytest.approx(np.mean(r), rel=1e-12)
    r = [pearsonr(P[i], T[i]).statistic for i in range(6)]
    assert scores["pcc_per_spot"] == pytest.approx(np.mean(r), rel=1e-12)

    def divergence(p: np.ndarray, q: np.ndarray) -> float:
        return float(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True) if x > 0))

    js = [math.sqrt((divergence(p, (p + q) / 2) + divergence(q, (p + q) / 2)) / 2) for p, q in zip(P, T, strict=True)]
    assert scores["js_distance"] == pytest.approx(np.mean(js), rel=1e-9)


def test_perfect_and_opposite_proportions() -> None:
    truth = pd.DataFrame(np.eye(3), index=list("abc"), columns=list("XYZ"))
    perfect = metrics.proportion_scores(truth, truth)
    assert perfect == {"rmse": 0, "pcc_per_type": 1, "pcc_per_spot": 1, "js_distance": 0, "n_types_skipped": 0}
    wrong = metrics.proportion_scores(truth.iloc[[1, 2, 0]].set_axis(truth.index), truth)
    assert wrong["js_distance"] == pytest.approx(math.sqrt(math.log(2)))
    assert wrong["rmse"] == pytest.approx(math.sqrt(2 / 3)) and wrong["pcc_per_type"] == pytest.approx(-0.5)


def test_what_cannot_be_computed_is_none() -> None:
    truth = pd.DataFrame({"X": [0.5], "Y": [0.5]}, index=["a"])
    scores = metrics.proportion_scores(truth, truth)
    assert scores["rmse"] is None and scores["pcc_per_type"] is None and scores["pcc_per_spot"] is None
    assert scores["n_types_skipped"] == 2 and scores["js_distance"] == 0
    spots = pd.Index(["a"])
    assert metrics.domain_scores(pd.Series("1", index=spots), pd.Series("A", index=spots), spots)["ari"] is None


def test_known_proportions_must_be_some() -> None:
    good = pd.DataFrame({"X": [0.5, 1], "Y": [0.5, 0.004]}, index=["a", "b"])
    metrics.check_proportions(good, "t.tsv")
    with pytest.raises(InputError, match=r"t\.tsv: the proportions of spot 'b' sum to 3"):
        metrics.check_proportions(good.assign(Z=[0, 1.996]), "t.tsv")
    with pytest.raises(InputError, match="spot 'b' has a negative proportion"):
        metrics.check_proportions(good.assign(Z=[0, -0.1]), "t.tsv")
