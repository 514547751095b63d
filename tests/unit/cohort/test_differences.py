"""What differs between conditions is found, and nothing else is."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from spotfuse import cohort
from spotfuse._core import tables

NONE_MATCHED = pd.DataFrame({"sample": [], "domain": [], "matched": [], "score": []})


def two_conditions(
    n: int, n_names: int, seed: int, halved: int | None = None, kind: str = "cell_type", slices: int = 1
):
    """n donors with and n without the condition; in the former one name is half of what it was."""
    random = np.random.default_rng(seed)
    base = random.uniform(1, 3, n_names)
    sheet, rows = [], []
    for i in range(2 * n):
        own = base * np.exp(random.normal(0, 0.15, n_names))
        if halved is not None and i < n:
            own[halved - 1] /= 2
        for k in range(slices):
            shares = own * np.exp(random.normal(0, 0.1, n_names))
            sample = f"S{i}_{k}"
            sheet.append(
                {"sample": sample, "condition": "case" if i < n else "control", "donor": f"d{i}", "age": i % 2}
            )
            rows += [(sample, "", kind, str(j + 1), share) for j, share in enumerate(shares / shares.sum())]
    numbers = range(1, n_names + 1)
    matched = pd.DataFrame({"sample": "S0_0", "domain": numbers, "matched": numbers, "score": 1.0})
    return sheet, pd.DataFrame(rows, columns=["sample", "group", "kind", "name", "share"]), matched


@pytest.mark.parametrize("kind", ["cell_type", "domain"])
def test_a_planted_halving_is_found(kind: str):
    sheet, composition, matched = two_conditions(6, 8, 0, halved=3, kind=kind)
    table = cohort.differences(sheet, composition, matched)
    assert list(table) == cohort.DIFFERENCES and len(table) == 8
    first = table.iloc[0]
    assert (first["kind"], first["name"], first["column"]) == (kind, "3", "condition")
    assert (first["level"], first["reference_level"], first["n"], first["n_reference"]) == ("case", "control", 6, 6)
    assert first["p_adjusted"] < 0.05 and first["effect"] < 0 and first["note"] == ""
    assert first["low"] < np.log(0.5) * (1 - 1 / 8) < first["high"] < 0


def test_a_halving_is_found_again_and_again_and_intervals_hold_it():
    rows = [cohort.differences(*two_conditions(6, 8, seed, halved=3)).set_index("name").loc["3"] for seed in range(60)]
    held = [row["low"] < np.log(0.5) * (1 - 1 / 8) < row["high"] for row in rows]
    assert np.mean(held) >= 0.85
    assert np.mean([row["p_adjusted"] < 0.05 and row["effect"] < 0 for row in rows]) >= 0.95


def test_nothing_is_found_where_nothing_is():
    table = cohort.differences(*two_conditions(6, 600, 1, slices=2))
    # with so many names shares are near the pseudo-share, for all alike
    assert stats.kstest(table["p"], "uniform").pvalue > 0.05
    assert (table["p_adjusted"] < 0.05).sum() == 0


def test_the_table_is_written_with_six_digits(tmp_path):
    for n in (4, 1):
        tables.write(cohort.differences(*two_conditions(n, 4, 0)), tmp_path / "differences.tsv")
        lines = [line.split("\t") for line in (tmp_path / "differences.tsv").read_text().splitlines()]
        assert lines[0] == cohort.DIFFERENCES and len(lines) == 5
        assert all(
            len(cell.split("e")[0].strip("-0.").replace(".", "")) <= 6 for row in lines[1:] for cell in row[7:12]
        )


def test_slices_of_a_donor_count_once():
    sheet, composition, matched = two_conditions(3, 5, 2, slices=4)
    table = cohort.differences(sheet, composition, matched)
    assert (table["n"] == 3).all() and (table["n_reference"] == 3).all() and (table["note"] == "").all()
    for row in sheet:
        del row["donor"]
    assert (cohort.differences(sheet, composition, matched)["n"] == 12).all()


@pytest.mark.parametrize(("n", "said"), [(2, "two on a side"), (1, "only one on a side")])
def test_too_few_donors_are_told(n: int, said: str):
    table = cohort.differences(*two_conditions(n, 4, 0, slices=3))
    assert table["note"].str.startswith(said).all() and table["effect"].notna().all()
    assert table["p"].notna().all() == (n == 2)


def test_donors_on_both_sides_are_compared_with_themselves():
    sheet, composition, matched = two_conditions(6, 5, 4, halved=2)
    for i, row in enumerate(sheet):
        row["donor"] = f"d{i % 6}"
    table = cohort.differences(sheet, composition, matched).set_index("name")
    logs = np.log(composition.pivot(index="sample", columns="name", values="share") + cohort.Settings().pseudo_share)
    ratios = logs.sub(logs.mean(axis=1), axis=0)["2"]
    case, control = (ratios[[f"S{i}_0" for i in range(start, start + 6)]] for start in (0, 6))
    expected = stats.ttest_rel(case, control)
    assert table.loc["2", "p"] == pytest.approx(expected.pvalue)
    assert table.loc["2", ["low", "high"]].tolist() == pytest.approx(list(expected.confidence_interval()))
    sheet[0]["donor"] = "alone"
    notes = cohort.differences(sheet, composition, matched)["note"]
    assert (notes == "some donors stand on both sides and are taken as independent").all()


def test_the_order_of_slices_changes_nothing():
    sheet, composition, matched = two_conditions(4, 6, 5)
    turned = cohort.differences(sheet[::-1], composition[::-1], matched)
    pd.testing.assert_frame_equal(cohort.differences(sheet, composition, matched), turned)


def test_only_what_describes_slices_is_compared():
    sheet, composition, matched = two_conditions(4, 4, 6)
    for i, row in enumerate(sheet):
        row |= {
            "barcode": f"V{i}",
            "batch": i % 2,
            "group": f"g{i % 2}",
            "sex": "fm"[i % 2],
            "site": "x",
            "data": f"{i % 2}h",
        }
        row["stage"] = ["I", "II", "III"][i % 3] if i else None
    table = cohort.differences(sheet, composition, matched)
    assert set(zip(table["column"], table["level"], table["reference_level"], strict=True)) == {
        ("condition", "case", "control"),
        ("sex", "m", "f"),
        ("stage", "II", "I"),
        ("stage", "III", "I"),
    }


def test_domains_that_are_not_matched_are_not_compared():
    sheet, composition, _ = two_conditions(4, 4, 7, kind="domain")
    assert len(cohort.differences(sheet, composition, NONE_MATCHED)) == 0
    matched = pd.DataFrame({"sample": "S0_0", "domain": [1, 2], "matched": [1, 2], "score": 1.0})
    composition["name"] = composition["name"].replace({"3": "own 3", "4": "own 4"})
    assert set(cohort.differences(sheet, composition, matched)["name"]) == {"1", "2"}


def test_equal_slices_and_other_references_are_no_fault():
    sheet, composition, matched = two_conditions(3, 4, 8)
    composition["share"] = 0.25
    table = cohort.differences(sheet, composition, matched)
    assert (table["effect"] == 0).all() and table["p"].isna().all()
    composition.loc[composition["sample"] == "S0_0", "name"] += " of another reference"
    assert (cohort.differences(sheet, composition, matched)["n"] == 2).all()
    assert len(cohort.differences([], composition[:0], matched)) == 0
