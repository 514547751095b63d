import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
from spotfuse.__main__ import main


def test_inspect_tells_what_a_slice_holds(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(demo / "dlpfc_151673.h5ad")])
    lines = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line[:5] in ("kind ", "spots")
    )
    assert lines["kind"] == "h5ad" and lines["spots"].startswith("3639 (AAACAAGTATCTCCCA-1, ")


def test_inspect_tells_programs_the_same(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(demo / "pdac_A.h5ad"), "--json"])
    facts = json.loads(capsys.readouterr().out)
    adata = anndata.read_h5ad(demo / "pdac_A.h5ad")
    total = np.asarray(adata.X.sum(axis=1)).ravel()
    xy = np.asarray(adata.obsm["spatial"])
    assert list(facts) == [
        *("kind", "platform", "n_spots", "n_genes", "first_spots", "first_genes", "counts_per_spot", "genes_per_spot"),
        *("mitochondrial_share", "x", "y", "unit", "images", "columns", "kept_by_default", "dropped", "notes"),
    ]
    assert (facts["kind"], facts["n_spots"], facts["n_genes"]) == ("h5ad", *adata.shape)
    assert facts["counts_per_spot"] == {"median": np.median(total), "max": total.max()}
    assert facts["x"] == [xy[:, 0].min(), xy[:, 0].max()] and facts["y"] == [xy[:, 1].min(), xy[:, 1].max()]
    assert facts["kept_by_default"]["n_spots"] == adata.n_obs - sum(facts["dropped"].values())


def test_inspect_prints_names_of_any_letters(tmp_path: Path, root: Path) -> None:
    names = ["ö\n1", "\x1b[31m", "細胞", "d"]
    adata = anndata.AnnData(np.arange(12.0).reshape(4, 3), obsm={"spatial": np.arange(8.0).reshape(4, 2)})
    adata.obs_names, adata.var_names = names, ["α", "β", "γ"]
    adata.write_h5ad(tmp_path / "s.h5ad")
    for options in ([], ["--json"]):
        run = subprocess.run(
            [sys.executable, "-m", "spotfuse", "inspect", tmp_path / "s.h5ad", *options],
            env=os.environ | {"PYTHONPATH": str(root / "bin"), "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0 and not run.stderr, run.stderr


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
    for name in ("a/st.h5ad", "b/st.h5ad", "c/cell_map.h5ad", "ö 1.zarr"):
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
    assert capsys.readouterr().out == "sheet.csv: 5 slices\n"
    with Path("sheet.csv").open(newline="") as file:
        rows = [(row["sample"], row["data"], row["n_domains"]) for row in csv.DictReader(file)]
    assert rows == [
        ("st", "data/a/st.h5ad", "auto"),
        ("b_st", "data/b/st.h5ad", "auto"),
        ("c_cell_map", "data/c/cell_map.h5ad", "auto"),  # the sheet refuses a sample called as a file of ours
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
