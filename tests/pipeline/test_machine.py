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


def test_without_r_then_with_it(pipeline, tmp_path: Path) -> None:
    (tmp_path / "r.config").write_text(WITHOUT_R)
    slice_ = pipeline.folder / "assets/test/starmap_left.h5ad"
    (tmp_path / "sheet.csv").write_text(f"sample,data,n_domains\nstarmap_left,{slice_},4\n")
    arguments = ("--input", tmp_path / "sheet.csv", "--epochs", "10")
    run = pipeline.run(*arguments, "-c", tmp_path / "r.config", outdir="machine")
    assert run.exit_status == 1
    ((sample, step, reason),) = [row.values() for row in run.table("cohort/failures.tsv")]
    assert (sample, step) == ("starmap_left", "assign_domains")
    assert reason.startswith("domains need R with its package mclust")
    run = pipeline.run(*arguments, "-resume", outdir="machine")
    assert run.exit_status == 0, run.output
    assert {step for step, _ in run.tasks("CACHED")} == {"CHECK_SLICE", "PREPARE_SLICE", "TRAIN"}
    assert ("ASSIGN_DOMAINS", "starmap_left") in run.tasks("COMPLETED")
    assert run.table("cohort/failures.tsv") == []


def test_debug_runs_again_what_failed_and_shows_where(pipeline, tmp_path: Path) -> None:
    (tmp_path / "broken.h5ad").write_bytes(b"not HDF5")
    arguments = ("--input", tmp_path / "broken.h5ad")
    run = pipeline.run(*arguments, outdir="debug")
    assert run.exit_status == 1 and "Traceback" not in run.output
    failures = run.table("cohort/failures.tsv")
    run = pipeline.run(*arguments, "--debug", "-resume", outdir="debug")
    assert ("CHECK_SLICE", "broken") in run.tasks("COMPLETED")
    assert "broken: check_slice failed: " in run.output and "Traceback (most recent call last)" in run.output
    assert run.exit_status == 1 and run.table("cohort/failures.tsv") == failures


@pytest.mark.parametrize(
    ("executor", "command", "said"),
    [
        ("slurm", "sbatch", "sbatch: error: invalid partition specified: gone"),
        ("sge", "qsub", "Unable to run job: unknown queue gone"),
        ("lsf", "bsub", "gone: No such queue. Job not submitted."),
    ],
)
def test_what_a_scheduler_refuses_ends_the_run_in_its_words(
    pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str, command: str, said: str
) -> None:
    for name, text in {command: f"echo '{said}' >&2; exit 1", "squeue": "", "qstat": "", "bjobs": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "site.config").write_text(f"process {{ executor = '{executor}'; resourceLimits = [:] }}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    given = ("-stub-run", "-c", tmp_path / "site.config", "--input", pipeline.folder / "assets/test/cortex.h5ad")
    run = pipeline.run(*given, outdir=f"refused_{executor}")
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
    run = pipeline.run("-stub-run", "-c", tmp_path / "absent.config", outdir="absent")
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
