"""What a machine lacks is told like a refusal, and is no answer that -resume keeps; nor is, with --debug, a failure."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_R = """
process {
    withName: ASSIGN_DOMAINS {
        beforeScript = "export PATH='${projectDir}/.venv/bin':\\"\\$PATH\\" R_HOME=/nowhere"
    }
}
"""


def test_without_r_then_with_it_and_debug_runs_again_what_failed(pipeline, tmp_path: Path) -> None:
    (tmp_path / "r.config").write_text(WITHOUT_R)
    (tmp_path / "broken.h5ad").write_bytes(b"not HDF5")
    slice_ = pipeline.folder / "assets/test/starmap_left.h5ad"
    (tmp_path / "sheet.csv").write_text(f"sample,data,n_domains\nleft,{slice_},4\nbroken,broken.h5ad,\n")
    arguments = ("--input", tmp_path / "sheet.csv", "--epochs", "10")
    run = pipeline.run(*arguments, "-c", tmp_path / "r.config", outdir="machine")
    assert run.exit_status == 1 and "Traceback" not in run.output
    (sample, step, reason), broken = (tuple(row.values()) for row in run.table("cohort/failures.tsv"))
    assert broken[:2] == ("broken", "check_slice") and (sample, step) == ("left", "assign_domains")
    assert reason.startswith("domains need R with its package mclust")
    run = pipeline.run(*arguments, "-resume", "--debug", outdir="machine")
    assert run.tasks("CACHED") == {(step, "left") for step in ("CHECK_SLICE", "PREPARE_SLICE", "TRAIN")}, run.output
    assert {("ASSIGN_DOMAINS", "left"), ("CHECK_SLICE", "broken")} <= run.tasks("COMPLETED")
    assert "broken: check_slice failed: " in run.output and "Traceback (most recent call last)" in run.output
    assert run.exit_status == 1 and [tuple(row.values()) for row in run.table("cohort/failures.tsv")] == [broken]


def test_what_a_scheduler_refuses_ends_the_run_in_its_words(
    pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "sbatch: error: invalid partition specified: gone"
    for name, text in {"sbatch": f"echo '{said}' >&2; exit 1", "squeue": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "site.config").write_text("process { executor = 'slurm'; resourceLimits = [:] }\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    given = ("-stub-run", "-c", tmp_path / "site.config", "--input", pipeline.folder / "assets/test/cortex.h5ad")
    run = pipeline.run(*given, outdir="refused_by_slurm")
    assert run.exit_status == 1 and said in run.output
    assert "there is no report of this run: the run ended before it" in run.output
    (row,) = run.table("cohort/failures.tsv")
    assert (row["sample"], row["step"]) == ("cortex", "check_slice") and "exit status 1" in row["reason"]


def test_a_task_that_breaks_off_says_with_what_and_one_without_its_command_ends_the_run(
    pipeline, tmp_path: Path
) -> None:
    """Also where the cohort's step is the one: what failed is told all the same, and so in stub runs."""
    (tmp_path / "breaks.config").write_text(
        "process { withName: TRAIN {\n"
        " beforeScript = { meta.id == 'cortex' ? 'echo no mount /data >&2; exit 1' : '' } }\n"
        " withName: REPORT_COHORT { beforeScript = 'exit 3' } }\n"
    )
    run = pipeline.run("-stub-run", "-c", tmp_path / "breaks.config", outdir="breaks")
    assert run.exit_status == 1 and "there is no report of this run: report_cohort failed" in run.output
    assert [tuple(row.values()) for row in run.table("cohort/failures.tsv")] == [
        ("cohort", "report_cohort", "report_cohort ended with exit status 3"),
        ("cortex", "train", "train ended with exit status 1: no mount /data"),
    ]
    assert ("REPORT_SLICE", "starmap_left") in run.tasks("COMPLETED")
    (tmp_path / "absent.config").write_text("process { withName: TRAIN { beforeScript = 'no_such_module' } }\n")
    slice_ = pipeline.folder / "assets/test/cortex.h5ad"
    run = pipeline.run("-stub-run", "-c", tmp_path / "absent.config", "--input", slice_, outdir="absent")
    assert run.exit_status == 1 and "no_such_module: command not found" in run.output
    reasons = {row["reason"] for row in run.table("cohort/failures.tsv")}
    assert all(reason.startswith("train ended with exit status 127: ") for reason in reasons) and reasons


def test_an_environment_that_cannot_be_used_is_told_before_any_task(own_pipeline) -> None:
    venv = own_pipeline.folder / ".venv"
    venv.unlink()
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin/python3"
    given = ("--input", own_pipeline.folder / "assets/test/cortex.h5ad")
    for text, mode, line in (
        ("", 0o644, f"{python} is not there or may not be started by this user"),
        ("#!/bin/sh\nexit 1\n", 0o755, "the Python packages of the steps are not here: `make setup`"),
    ):
        python.write_text(text)
        python.chmod(mode)
        run = own_pipeline.run(*given)
        assert run.exit_status == 1 and line in run.output and not run.trace, run.output


def test_a_wrapper_on_path_that_calls_the_launcher_is_called_once(tmp_path: Path) -> None:
    (tmp_path / "nextflow").write_text(f'#!/bin/sh\nexec {ROOT}/tools/nextflow "$@"\n')
    (tmp_path / "nextflow").chmod(0o755)
    done = subprocess.run(
        [ROOT / "tools/nextflow", "-v"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.startswith("nextflow version")
