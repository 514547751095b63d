"""After a run, results/ holds what that run says: of earlier runs nothing is left over, of the user's nothing is lost.

Nothing is computed here: what steps leave empty is published like any other file.
"""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

SHEET = """sample,data,reference,group
A,{0}/starmap_left.h5ad,{0}/starmap_reference.h5ad,
B,{0}/starmap_right.h5ad,,
C,{0}/cortex.h5ad,,g
D,{0}/cortex.h5ad,,g
"""
# as SHEET, but A has no reference, C no group, and D is gone
LESS = """sample,data
A,{0}/starmap_left.h5ad
B,{0}/starmap_right.h5ad
C,{0}/cortex.h5ad
"""
OF_A_REFERENCE = ("proportions.tsv", "proportions_sd.tsv")
KILLER = """
process {{
    withName: {step} {{
        beforeScript  = {{ {condition} ? 'exit 1' : '' }}
        errorStrategy = '{strategy}'
    }}
}}
"""


class Stubs:
    """Stub runs, each resumed, with one sheet or another."""

    def __init__(self, pipeline) -> None:
        self.pipeline = pipeline

    def __call__(self, sheet: str, *args: str, config: str = "", outdir: str = "kept"):
        for name, text in (("kept.csv", sheet.format(self.pipeline.folder / "assets/test")), ("kept.config", config)):
            (self.pipeline.launch / name).write_text(text)
        given = ("--input", "kept.csv", "-c", "kept.config")
        return self.pipeline.run("-stub-run", "-resume", *given, *args, outdir=outdir)


def kill(step: str, condition: str = "true", strategy: str = "ignore") -> str:
    return KILLER.format(step=step, condition=condition, strategy=strategy)


def said(run, what: str) -> set[str]:
    """The names in the line that tells of such files."""
    lines = re.findall(rf"^{run.outdir}: {what}: (.*)$", run.output, re.M)
    assert len(lines) <= 1, run.output
    return set(lines[0].split(", ")) if lines else set()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def published(run) -> set[str]:
    """All that the tables say is this run's."""
    tables = [pd.read_csv(path, sep="\t") for path in (run.outdir / "pipeline_info/published").iterdir()]
    return {path for table in tables for path in table.loc[table["run"] == f"run{run.n}", "path"]}


TAKEN = "taken out, since this run has none of these"
LEFT = "not of this run, left as they are"


@pytest.fixture(scope="module")
def stubs(pipeline) -> Stubs:
    return Stubs(pipeline)


@pytest.fixture(scope="module")
def whole(stubs):
    return stubs(SHEET)


@pytest.fixture(scope="module")
def less(stubs, whole):
    """After the user did this and that in results/, which held a slice from before there were tables of it."""
    out = whole.outdir
    assert whole.exit_status == 0 and "taken out" not in whole.output and "not of this run" not in whole.output
    assert {name for name in files(out) if not name.startswith("pipeline_info/")} == published(whole)
    assert published(whole) >= {"A/proportions.tsv", "cohort/groups/g.h5ad", "cohort/groups/g.alignment.tsv"}
    (out / "A/notes.txt").write_text("mine")
    (out / "A/proportions_sd.tsv").write_text("edited")
    (out / "B/domains.tsv").write_text("edited")
    (out / "B/markers.tsv").unlink()
    (out / "C/domains_old.tsv").write_text("old")
    (out / "pipeline_info/published/C.tsv").unlink()
    (out / "figures").mkdir()
    (out / "figures/one.svg").write_text("mine")
    (out / "figures/A").symlink_to(out / "A")
    return stubs(LESS)


def test_what_a_run_does_not_have_goes_and_what_is_the_users_stays(less) -> None:
    out = less.outdir
    assert less.exit_status == 0, less.output
    group = {"cohort/groups/g.h5ad", "cohort/groups/g.alignment.tsv"}
    assert said(less, TAKEN) == group | {"A/proportions.tsv", "A/deconvolution_fit.tsv"}
    assert said(less, LEFT) == {"A/notes.txt", "A/proportions_sd.tsv", "C/domains_old.tsv"}
    assert said(less, "slices of other runs") == {"D"}
    assert not (out / "cohort/groups").exists() and not (out / "A/proportions.tsv").exists()
    assert (out / "A/notes.txt").read_text() == "mine" and (out / "A/proportions_sd.tsv").read_text() == "edited"
    assert (out / "figures/one.svg").exists() and (out / "D/report.html").exists()
    assert (out / "B/domains.tsv").read_text() == "" and (out / "B/markers.tsv").exists()  # as the run says
    there = {name for name in files(out) if not re.match("pipeline_info/|figures/|D/", name)}
    assert there == published(less) | said(less, LEFT)


def test_what_a_run_left_that_was_cut_off_goes_and_only_its_own_tasks_are_distrusted(stubs, less) -> None:
    """Its files are known though it never came to say so. Others share the work folder, whose files change for reasons
    that are theirs."""
    cut = stubs(SHEET.replace("cortex", "starmap_left"), config=kill("COMPARE_SLICES", strategy="terminate"))
    assert cut.exit_status == 1 and "report:" not in cut.output and "taken out" not in cut.output
    assert (cut.outdir / "A/proportions.tsv").exists()
    work = stubs.pipeline.launch / "work"
    task = next(row for row in less.trace if row["process"].endswith("ASSIGN_DOMAINS") and row["tag"] == "A")
    (own,) = work.glob(task["hash"] + "*")
    foreign = work / "ab/0123456789abcdef0123456789abcd"
    foreign.mkdir(parents=True)
    (foreign / ".exitcode").write_text("0")
    (foreign / "result.txt").write_text("changed")
    for folder, name in ((own, "domains.tsv"), (foreign, "result.txt")):
        ended = (folder / ".exitcode").stat().st_mtime
        os.utime(folder / name, (ended + 60, ended + 60))
    run = stubs(LESS)
    assert re.findall("^(.*): changed after its task had ended", run.output, re.M) == [f"{own}/domains.tsv"]
    assert (foreign / ".exitcode").exists() and not (own / ".exitcode").exists()
    assert ("ASSIGN_DOMAINS", "A") in run.tasks("COMPLETED") and ("ASSIGN_DOMAINS", "B") in run.tasks("CACHED")
    assert said(run, TAKEN) >= {"A/proportions.tsv"} and not (run.outdir / "A/proportions.tsv").exists()
    assert said(run, LEFT) == {"A/notes.txt", "C/domains_old.tsv"}


def test_what_failed_is_not_shown_from_an_earlier_run(stubs, less) -> None:
    sheet = (
        LESS.replace("data\n", "data,n_domains\n").replace("left.h5ad\n", "left.h5ad,\n").replace("h5ad\n", "h5ad,3\n")
    )
    config = kill("CHECK_SLICE", "meta.id == 'B'") + kill("REPORT_SLICE", "meta.id == 'C'") + kill("REPORT_COHORT")
    run = stubs(sheet, config=config)
    assert run.exit_status == 1
    assert said(run, "of an earlier run, since this one ended without theirs") == {"B"}
    assert said(run, TAKEN) >= {"C/report.html", "cohort/report.html", "cohort/failures.tsv", "cohort/metrics.tsv"}
    assert not (run.outdir / "C/report.html").exists() and (run.outdir / "C/metrics.json").exists()
    assert "there is no report of this run" in run.output
    assert "report: " not in run.output
    assert [row["step"] for row in run.table("cohort/failures.tsv")] == ["check_slice", "report_slice", "report_cohort"]
    assert not (run.outdir / "cohort/report.html").exists() and (run.outdir / "cohort/composition.tsv").exists()


def test_links_lead_somewhere_and_become_files_when_copies_are_asked_for(stubs, whole, tmp_path) -> None:
    """Also in a folder that is a link itself, which Nextflow's relative links do not see."""
    (tmp_path / "elsewhere").mkdir()
    link = stubs.pipeline.launch / "deep/er/linked"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    for mode, sheet in (("rellink", SHEET), ("copy", LESS)):
        run = stubs(sheet, "--publish_dir_mode", mode, outdir="deep/er/linked")
        assert run.exit_status == 0 and "not of this run" not in run.output, run.output
        for name in ("A/domains.tsv", "A/report.html", "cohort/metrics.tsv", "C/metrics.json"):
            path = run.outdir / name
            assert path.exists() and path.is_symlink() == (mode == "rellink"), (mode, name)
    assert said(run, TAKEN) >= {"A/proportions.tsv"} and not (run.outdir / "A/proportions.tsv").exists()
