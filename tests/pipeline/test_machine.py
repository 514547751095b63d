"""What a machine lacks is told like a refusal, and is no answer that -resume keeps; nor is, with --debug, a failure."""

from pathlib import Path

WITHOUT_R = """
process {
    withName: ASSIGN_DOMAINS {
        beforeScript = "export PATH='${projectDir}/.venv/bin':\\"\\$PATH\\" R_HOME=/nowhere"
    }
}
"""


def test_without_r_then_with_it(pipeline, tmp_path: Path) -> None:
    (tmp_path / "r.config").write_text(WITHOUT_R)
    arguments = ("--input", pipeline.folder / "assets/test/starmap_left.h5ad", "--epochs", "10")
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
