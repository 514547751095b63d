"""Slices that are divided by their cell types wait for these; others do not. Nothing is computed here."""

SHEET = """sample,data,reference,domains_from
A,{0}/starmap_left.h5ad,{0}/starmap_reference.h5ad,composition
B,{0}/starmap_left.h5ad,{0}/starmap_reference.h5ad,
C,{0}/starmap_left.h5ad,{0}/starmap_reference.h5ad,both
D,{0}/starmap_left.h5ad,,
"""
BROKEN = "process { withName: DECONVOLVE { beforeScript = { meta.id in ['A', 'B'] ? 'exit 1' : '' } } }\n"


def test_domains_by_composition_need_proportions_and_others_do_without(pipeline) -> None:
    (pipeline.launch / "composed.csv").write_text(SHEET.format(pipeline.folder / "assets/test"))
    (pipeline.launch / "broken.config").write_text(BROKEN)
    run = pipeline.run("-stub-run", "--input", "composed.csv", "-c", "broken.config", outdir="composed")
    assert {slice_ for step, slice_ in run.tasks("COMPLETED") if step == "ASSIGN_DOMAINS"} == {"B", "C", "D"}
    assert [(row["sample"], row["step"]) for row in run.table("cohort/failures.tsv")] == [
        ("A", "deconvolve"),
        ("B", "deconvolve"),
    ]
    assert all((run.outdir / name / "report.html").exists() for name in "ABCD")


def test_composition_without_cell_types_or_in_a_group_is_refused_before_any_task(pipeline) -> None:
    folder = pipeline.folder / "assets/test"
    (pipeline.launch / "bare.csv").write_text(
        f"sample,data,reference,group\nA,{folder}/starmap_left.h5ad,,\n"
        f"B,{folder}/starmap_left.h5ad,{folder}/starmap_reference.h5ad,g\n"
        f"C,{folder}/starmap_right.h5ad,{folder}/starmap_reference.h5ad,g\n"
    )
    run = pipeline.run("-stub-run", "--input", "bare.csv", "--domains_from", "both", outdir="bare")
    assert run.exit_status == 1 and not run.trace
    assert "bare.csv: domains_from both: no reference for A, whose cell types it would tell" in run.output
    assert "bare.csv: domains_from both: slices of group g are learned together" in run.output
