"""What a machine lacks is told like a refusal, and is no answer that -resume keeps."""

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
