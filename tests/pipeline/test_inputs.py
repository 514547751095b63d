"""-resume sees what a step reads of a folder or beside a file, and nothing else."""

import gzip
import os
from pathlib import Path

import pytest

ROWS = "".join(f"s{i},1,{i // 6},{i % 6},{i // 6 * 100},{i % 6 * 100}\n" for i in range(36))
SHEET = """sample,data,reference
folder,ranger,atlas
bare,linked/filtered_feature_bc_matrix,
beside,tables/one.csv,
other,tables/two.csv,
store,cells.zarr,
"""


@pytest.fixture(scope="module")
def folder(pipeline) -> Path:
    """Files enough for the graph alone; none is opened."""
    folder = pipeline.launch / "inputs"
    files = {
        "ranger/outs/spatial/tissue_positions.csv": ROWS,
        "ranger/outs/filtered_feature_bc_matrix.h5": "counts",
        "ranger/outs/possorted_genome_bam.bam": "reads",
        "run/filtered_feature_bc_matrix/matrix.mtx": "counts",
        "run/spatial/tissue_positions.csv": ROWS,
        "tables/one.csv": "counts",
        "tables/one_coordinates.csv": ROWS,
        "tables/two.csv": "counts",
        "tables/two_coordinates.csv": ROWS,
        "cells.zarr/X/data/c/0/0": "chunk",
        "atlas/matrix.mtx": "counts",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    large = b"".join(os.urandom(1 << 16) for _ in range(20))
    (folder / "atlas/barcodes.tsv.gz").write_bytes(gzip.compress(large))
    (folder / "linked").mkdir()
    (folder / "linked/filtered_feature_bc_matrix").symlink_to("../run/filtered_feature_bc_matrix")
    (folder / "sheet.csv").write_text(SHEET)
    return folder


def again(pipeline, folder: Path) -> set[tuple[str, str]]:
    """Steps that read the user's files, and the slices they were run for."""
    run = pipeline.run("--input", folder / "sheet.csv", "-stub-run", "-resume", outdir="inputs/results")
    assert run.exit_status == 0, run.output
    reading = {"CHECK_SLICE", "PREPARE_SLICE", "PREPARE_REFERENCE"}
    return {(step, sample) for step, sample in run.tasks("COMPLETED") if step in reading}


def rewrite(path: Path) -> None:
    """Change a file, and nothing of the folder that it is in."""
    before = path.parent.stat().st_mtime_ns
    with path.open("a") as file:
        file.write("\n")
    assert path.parent.stat().st_mtime_ns == before


def test_what_is_read_decides(pipeline, folder: Path) -> None:
    samples = {"folder", "bare", "beside", "other", "store"}
    steps = ("CHECK_SLICE", "PREPARE_SLICE")
    first = {(step, sample) for step in steps for sample in samples} | {("PREPARE_REFERENCE", "atlas")}
    assert again(pipeline, folder) == first
    # the time of a small file says nothing of it, and what is not read may change
    for name in ("ranger/outs/spatial/tissue_positions.csv", "tables/one_coordinates.csv", "cells.zarr/X/data/c/0/0"):
        os.utime(folder / name)
    rewrite(folder / "ranger/outs/possorted_genome_bam.bam")
    assert again(pipeline, folder) == set()
    rewrite(folder / "ranger/outs/spatial/tissue_positions.csv")
    rewrite(folder / "tables/one_coordinates.csv")
    rewrite(folder / "run/spatial/tissue_positions.csv")
    rewrite(folder / "cells.zarr/X/data/c/0/0")
    os.utime(folder / "atlas/barcodes.tsv.gz")  # a large one
    assert again(pipeline, folder) == first - {(step, "other") for step in steps}
