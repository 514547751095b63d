import csv
from pathlib import Path

import anndata
import pytest
from spotfuse.__main__ import main


def test_inspect_tells_what_a_slice_holds(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(demo / "dlpfc_151673.h5ad")])
    lines = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line[:5] in ("kind ", "spots")
    )
    assert lines["kind"] == "h5ad" and lines["spots"].startswith("3639 (AAACAAGTATCTCCCA-1, ")


def test_inspect_refuses_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["inspect", "nowhere"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "spotfuse: nowhere: there is no such file or folder\n"


def test_make_sheet_finds_slices_and_no_references(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slice_ = anndata.read_h5ad(demo / "pdac_A.h5ad")[:5, :50].copy()
    for name in ("a/st.h5ad", "b/st.h5ad", "ö 1.zarr"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        slice_.write_zarr(tmp_path / "data" / name) if "zarr" in name else slice_.write_h5ad(tmp_path / "data" / name)
    del slice_.obsm["spatial"]
    slice_.write_h5ad(tmp_path / "data/a/cells.h5ad")
    (tmp_path / "data/run 7/outs/spatial").mkdir(parents=True)
    for name in ("filtered_feature_bc_matrix.h5", "spatial/tissue_positions.csv"):
        (tmp_path / "data/run 7/outs" / name).touch()
    (tmp_path / "data/a/again").symlink_to(tmp_path / "data")
    (tmp_path / "data/gone").symlink_to("nowhere")
    main(["make-sheet", "data", "--output", "sheet.csv"])
    assert capsys.readouterr().out == "sheet.csv: 4 slices\n"
    with Path("sheet.csv").open(newline="") as file:
        rows = [(row["sample"], row["data"], row["n_domains"]) for row in csv.DictReader(file)]
    assert rows == [
        ("st", "data/a/st.h5ad", "auto"),
        ("b_st", "data/b/st.h5ad", "auto"),
        ("run_7", "data/run 7/outs", "auto"),
        ("1", "data/ö 1.zarr", "auto"),
    ]
    with pytest.raises(SystemExit):
        main(["make-sheet", "data", "--output", "sheet.csv"])


def test_make_sheet_leaves_out_what_is_no_slice(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slice_ = anndata.read_h5ad(demo / "pdac_A.h5ad")[:5, :50].copy()
    ours = slice_.copy()
    ours.uns["spotfuse"] = {"kind": "h5ad"}
    task = f"work/ab/{'0123456789' * 3}"
    for name in (
        "mine.h5ad",
        f"{task}/slice.h5ad",
        f"runs/elsewhere/cd/{'f' * 30}/slice.h5ad",
        ".nextflow/slice.h5ad",
        ".hidden.h5ad",
        "results/pipeline_info/slice.h5ad",
        "results/cohort/groups/g.h5ad",
        "old/run_7/A/cell_map.h5ad",
        "mpfc_reference.h5ad",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        slice_.write_h5ad(name)
    Path("old/run_7/pipeline_info").mkdir()
    Path("old/run_7/cohort").mkdir()
    for name in ("copied.h5ad", "results/A/A.h5ad"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        ours.write_h5ad(name)
    Path("round").symlink_to("round")
    Path("runs/up").symlink_to("..")
    main(["make-sheet", "."])
    with Path("samplesheet.csv").open(newline="") as file:
        assert [row["data"] for row in csv.DictReader(file)] == ["mine.h5ad"]
    assert capsys.readouterr().out.splitlines()[1] == "left out, references by their names: mpfc_reference.h5ad"
    Path("dangling.csv").symlink_to("nowhere.csv")
    for output in ("dangling.csv", "samplesheet.csv", "no/folder.csv"):
        with pytest.raises(SystemExit) as end:
            main(["make-sheet", ".", "--output", output])
        assert end.value.code == 2
    assert not Path("nowhere.csv").exists()
