"""What is said of all slices together."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from spotfuse import cohort, report
from spotfuse._core import tables
from spotfuse.pipeline import closing_table, failures, steps


def note(sample: str, step: str, failure: str | None = None) -> dict:
    return {"sample": sample, "step": step, "failure": failure, "seconds": 1.0, "peak_rss_mb": 10}


def went_well(sample: str, *steps: str) -> list[dict]:
    return [note(sample, step) for step in steps]


def failures_of(sheet: list[dict], notes: list[dict]) -> pd.DataFrame:
    return failures.failures(sheet, [*notes, note("cohort", "compare_slices")])


TO_DOMAINS = ("check_slice", "prepare_slice", "train", "assign_domains")
WHOLE = (*TO_DOMAINS, "collect_slice", "report_slice")


def slice_folder(folder: Path, labels: list[int], shares: dict[str, list[float]] | None, **metrics) -> Path:
    folder.mkdir(parents=True)
    spots = [f"s{i}" for i in range(len(labels))]
    pd.DataFrame({"spot": spots, "domain": labels, "confidence": 0.9}).to_csv(
        folder / "domains.tsv", sep="\t", index=False
    )
    if shares:
        pd.DataFrame({"spot": spots, **shares}).to_csv(folder / "proportions.tsv", sep="\t", index=False)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture
def slices(tmp_path: Path) -> dict[str, Path]:
    return {
        "A": slice_folder(
            tmp_path / "A",
            [1, 1, 1, 2],
            {"NA": [0.5, 0.5, 0, 0], "T/B": [0.5, 0.5, 1, 1]},
            n_spots=4,
            n_domains=2,
            domains=None,
            proportions={"rmse": 0.25},
            seconds={"train": 100.0, "prepare_slice": 25.0},
        ),
        "B": slice_folder(
            tmp_path / "B", [1, 2, 3], None, n_spots=3, n_domains=3, domains={"ari": 0.5}, proportions=None, seconds={}
        ),
    }


SHEET = [
    {"sample": "B", "data": "b.h5ad", "group": None, "donor": "d2"},
    {"sample": "A", "data": "a.h5ad", "group": "g", "donor": "d1", "reference": "r.h5ad", "proportions": "p.tsv"},
    {"sample": "C", "data": "c.h5ad", "group": "g", "donor": "d3", "annotation": "label"},
]


def test_metrics_have_a_row_a_finished_slice_in_the_sheets_order(slices):
    table = cohort.metrics(SHEET, slices)
    assert list(table["sample"]) == ["B", "A"]
    assert list(table["donor"]) == ["d2", "d1"]
    assert table["domains.ari"].tolist()[0] == 0.5
    assert table["proportions.rmse"].tolist()[1] == 0.25
    assert "data" not in table and "reference" not in table and "domains" not in table
    columns = list(table)
    assert columns.index("domains.ari") < columns.index("proportions.rmse") < columns.index("seconds.train")


def test_a_column_of_the_sheet_may_have_a_dot_in_its_name(slices):
    table = cohort.metrics([row | {"age.years": 7} for row in SHEET], slices, steps.STEPS)
    assert table["age.years"].tolist() == [7, 7] and list(table)[-1] == "seconds.train"


def test_columns_of_the_sheet_are_not_taken_for_metrics(slices, tmp_path: Path):
    """Whether or not a slice has that metric; and both the table and what reads it go on."""
    own = {
        "n_spots": "many",
        "domains.ari": "0.9",
        "seconds.train": "long",
        "peak_rss_mb.train": "much",
        "seconds": "1",
    }
    sheet = [row | own | {"sheet.n_spots": "y", "slice": "x" if row["sample"] == "B" else "z"} for row in SHEET]
    table = cohort.metrics(sheet, slices)
    assert table["n_spots"].tolist() == [3, 4] and table["sheet.n_spots"].tolist() == ["many"] * 2
    assert table["domains.ari"].tolist()[0] == 0.5 and pd.isna(table["domains.ari"].tolist()[1])
    assert table["sheet.domains.ari"].tolist() == ["0.9"] * 2 and table["seconds"].tolist() == ["1"] * 2
    assert table["seconds.train"].tolist()[1] == 100 and table["sheet.seconds.train"].tolist() == ["long"] * 2
    assert table["sheet.sheet.n_spots"].tolist() == ["y"] * 2 and table["sheet.peak_rss_mb.train"].tolist()[0] == "much"
    plain = cohort.metrics(SHEET, slices)
    none = failures.failures(SHEET, [])
    assert closing_table.closing_table(table, none) == closing_table.closing_table(plain, none)
    composition = cohort.composition(sheet, slices)
    assert report.multiqc(table, composition) == report.multiqc(plain, composition)


def test_composition_sums_to_one_and_keeps_odd_names(slices):
    table = cohort.composition(SHEET, slices)
    assert table.groupby(["sample", "kind"])["share"].sum().round(9).eq(1).all()
    types = table[(table["sample"] == "A") & (table["kind"] == "cell_type")].set_index("name")["share"]
    assert types.to_dict() == {"NA": 0.25, "T/B": 0.75}
    domains = table[(table["sample"] == "A") & (table["kind"] == "domain")].set_index("name")["share"]
    assert domains.to_dict() == {"1": 0.75, "2": 0.25}


def test_domains_whose_names_are_numbers_in_a_file_are_gathered_for_multiqc(slices):
    table = cohort.composition(SHEET, slices)
    numbered = table[table["kind"] == "domain"].astype({"name": int})
    content = report.multiqc(cohort.metrics(SHEET, slices), numbered)["spotfuse_domains_mqc.json"]
    assert content["data"]["A"] == {"domain 1": 0.75, "domain 2": 0.25}


def test_tables_are_read_as_they_were_written(tmp_path):
    written = {
        "n_domains": pd.DataFrame({"n_domains": [2, 10], "stability": [1.0, 0.5], "chosen": [0, 1]}),
        "loss": pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25]}),
        "markers": pd.DataFrame({"domain": ["1", "10"], "gene": ["007", "1e5"], "log_fold_change": [1.5, 2.0]}),
        "spatial_genes": pd.DataFrame({"gene": ["NA", "12"], "morans_i": [0.5, 0.25]}),
        "neighbourhoods": pd.DataFrame({"kind": ["a", "a"], "name": ["01", "2"], "neighbour": ["2", "3"], "z": 1.5}),
        "composition": pd.DataFrame({"sample": ["1", "2"], "group": ["01", "02"], "name": ["1", "2"], "share": 0.5}),
        "domains": pd.DataFrame({"spot": ["10", "1e3"], "domain": [1, 2], "confidence": 0.5}),
        "proportions": pd.DataFrame({"spot": ["NA", "nan"], "gene": [0.25, 0.75], "name": [0.75, 0.25]}),
    }
    for name, table in written.items():
        tables.write(table, tmp_path / f"{name}.tsv")
        pd.testing.assert_frame_equal(tables.read_back(tmp_path / f"{name}.tsv"), table)


def test_a_refusal_keeps_its_reason():
    failures = failures_of([{"sample": "C"}], [note("C", "check_slice", "c.h5ad: no counts")])
    assert failures.values.tolist() == [["C", "check_slice", "c.h5ad: no counts"]]


def test_a_killed_step_is_named_and_those_after_it_are_not():
    notes = went_well("C", "check_slice", "prepare_slice", "collect_slice", "report_slice")
    failures = failures_of([{"sample": "C", "annotation": "label"}], notes)
    assert failures.values.tolist() == [["C", "train", "killed or out of memory in train"]]


def test_a_killed_deconvolution_does_not_hide_behind_a_finished_slice():
    row = {"sample": "C", "reference": "r.h5ad", "proportions": "p.tsv"}
    notes = went_well("C", *WHOLE, "prepare_reference")
    assert failures_of([row], notes)["step"].tolist() == ["deconvolve"]
    assert len(failures_of([row], [*notes, note("C", "deconvolve")])) == 0


def test_how_a_task_ended_is_told_of_all_whom_it_served():
    rows = [{"sample": name, "group": "g", "reference": "atlas/r.h5ad"} for name in "AB"]
    well = ("check_slice", "prepare_slice", "join_group", "collect_slice", "report_slice")
    ended = [
        {"sample": "g", "step": "train", "ended": "train ended with exit status 1: no space"},
        {"sample": "r.h5ad", "step": "prepare_reference", "ended": "prepare_reference ended with exit status 3"},
    ]
    found = failures_of(rows, [*went_well("A", *well), *went_well("B", *well), *ended])
    assert found.values.tolist() == [[name, note["step"], note["ended"]] for name in "AB" for note in ended]


@pytest.mark.parametrize("said", [[], [note("cohort", "compare_slices", "defect in compare_slices")]])
def test_a_comparison_that_failed_is_told(said: list[dict]):
    found = failures.failures([{"sample": "C"}], [*went_well("C", *WHOLE), *said])
    reason = "defect in compare_slices" if said else "killed or out of memory in compare_slices"
    assert found.values.tolist() == [["cohort", "compare_slices", reason]]
    table = closing_table.closing_table(pd.DataFrame(), found)
    assert table.splitlines()[-2:] == ["The comparison failed:", f"cohort: compare_slices: {reason}"]


def test_known_proportions_without_a_reference_ask_for_no_evaluation():
    assert len(failures_of([{"sample": "C", "proportions": "p.tsv"}], went_well("C", *WHOLE))) == 0


COMPARED = {"sample": "cohort", "step": "compare_slices", "failure": None}
GROUP = [{"sample": name, "group": "g", "annotation": "label"} for name in "AB"]
TOGETHER = ("check_slice", "prepare_slice", "join_group", "train", "assign_domains", "split_group")


def test_a_groups_killed_step_is_a_failure_of_each_of_its_slices():
    for i in range(2, len(TOGETHER)):
        notes = [COMPARED, *went_well("A", *TOGETHER[:i]), *went_well("B", *TOGETHER[:i])]
        notes += [*went_well("A", "collect_slice", "report_slice"), *went_well("B", "collect_slice", "report_slice")]
        found = failures.failures(GROUP, notes)
        assert found[["sample", "step"]].values.tolist() == [["A", TOGETHER[i]], ["B", TOGETHER[i]]]
    left_out = [*went_well("A", *TOGETHER[:-1], "collect_slice", "report_slice"), note("A", "split_group", "few genes")]
    rest = went_well("B", *TOGETHER, "collect_slice", "report_slice")
    assert failures.failures(GROUP, [COMPARED, *left_out, *rest]).values.tolist() == [["A", "split_group", "few genes"]]


def test_the_last_slice_of_a_group_goes_on_alone():
    notes = [COMPARED, *went_well("A", *WHOLE), note("B", "check_slice", "no counts")]
    assert failures.failures(GROUP, notes)["sample"].tolist() == ["B"]


def test_together_are_those_that_got_their_part_of_a_group(tmp_path):
    for name, failure in {"A": "few genes", "B": None}.items():
        (tmp_path / name).mkdir()
        status = pd.DataFrame({"step": ["train", "split_group"], "seconds": 1, "failure": [None, failure]})
        tables.write(status, tmp_path / name / "status.tsv")
    assert cohort.learned_together(GROUP, {name: tmp_path / name for name in "AB"}) == {"B": "g"}


def test_a_refused_reference_is_the_only_failure_of_its_slice():
    notes = [*went_well("C", *WHOLE), note("C", "prepare_reference", "r.h5ad: no column cell_type")]
    assert failures_of([{"sample": "C", "reference": "r.h5ad"}], notes)["step"].tolist() == ["prepare_reference"]


def test_the_closing_table_is_aligned_and_says_what_failed(slices):
    failures = failures_of([{"sample": "C"}], [note("C", "check_slice", "no counts")])
    lines = closing_table.closing_table(cohort.metrics(SHEET, slices), failures).splitlines()
    assert lines[0].split() == ["slice", "spots", "domains", "ARI", "RMSE", "time"]
    assert lines[1].split() == ["B", "3", "3", "0.500", "-", "0", "s"]
    assert lines[2].split() == ["A", "4", "2", "-", "0.250", "2", "min", "05", "s"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[-1] == "C: check_slice: no counts"


def test_nothing_finished_is_still_a_table_and_a_report(tmp_path: Path, root: Path):
    (tmp_path / "sheet.json").write_text(json.dumps([{"sample": "C"}]))
    (tmp_path / "notes.json").write_text(json.dumps([note("C", "check_slice", "c.h5ad: <b>no counts</b>")]))
    command = [sys.executable, str(root / "bin/report_cohort.py"), "--sample", "cohort", "--sheet", "sheet.json"]
    done = subprocess.run([*command, "--notes", "notes.json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "C: check_slice: c.h5ad: <b>no counts</b>" in done.stdout
    assert (
        tmp_path / "cohort/failures.tsv"
    ).read_text() == "sample\tstep\treason\nC\tcheck_slice\tc.h5ad: <b>no counts</b>\n"
    page = (tmp_path / "cohort/report.html").read_text()
    assert "c.h5ad: &lt;b&gt;no counts&lt;/b&gt;" in page and "<b>no counts" not in page


def test_multiqc_shows_the_tables(slices, tmp_path: Path):
    multiqc = os.environ.get("MULTIQC") or shutil.which("multiqc")
    if multiqc is None:
        pytest.skip("no MultiQC here (pip install multiqc into an environment of its own, and name it in MULTIQC)")
    files = report.multiqc(cohort.metrics(SHEET, slices), cohort.composition(SHEET, slices))
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    command = [multiqc, tmp_path, "--outdir", tmp_path / "out", "--no-version-check"]
    subprocess.run(command, check=True, capture_output=True)
    shown = json.loads((tmp_path / "out/multiqc_data/multiqc_data.json").read_text())["report_plot_data"]
    assert set(shown) == {f"spotfuse_{name}_plot" for name in ("metrics", "domains", "cell_types")}
    table = (tmp_path / "out/multiqc_data/multiqc_spotfuse_metrics_plot.txt").read_text().splitlines()
    assert table[0].split("\t")[:3] == ["Sample", "n_spots", "n_domains"]
    assert {line.split("\t")[0] for line in table[1:]} == {"A", "B"}


def test_multiqc_gets_the_same_numbers(slices):
    files = report.multiqc(cohort.metrics(SHEET, slices), cohort.composition(SHEET, slices))
    assert set(files) == {f"spotfuse_{name}_mqc.json" for name in ("metrics", "domains", "cell_types")}
    table = files["spotfuse_metrics_mqc.json"]
    assert table["data"] == {
        "B": {"n_spots": 3, "n_domains": 3, "domains.ari": 0.5},
        "A": {"n_spots": 4, "n_domains": 2, "proportions.rmse": 0.25},
    }
    assert set(table["headers"]) == {"n_spots", "n_domains", "domains.ari", "proportions.rmse"}
    assert files["spotfuse_cell_types_mqc.json"]["data"] == {"A": {"NA": 0.25, "T/B": 0.75}}
    json.dumps(files, allow_nan=False)


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min")])
def test_durations_read_as_a_person_says_them(seconds: float, said: str):
    assert report.duration(seconds) == said
