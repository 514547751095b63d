import json
import os
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import run


@pytest.fixture
def small(demo: Path) -> AnnData:
    """A part of the bundled breast tumour, with three spots that cannot be kept."""
    adata = anndata.read_h5ad(demo / "her2st_H1.h5ad")
    adata = adata[:150, np.asarray(adata.X.sum(axis=0)).ravel() > 150].copy()
    counts = adata.X.tolil()
    counts[[3, 70]] = 0
    adata.X = counts.tocsr()
    adata.obs["in_tissue"] = 1
    adata.obs.loc[adata.obs_names[20], "in_tissue"] = 0
    return adata


def test_shuffled_and_renamed_rows_give_the_same_slice_and_tables_in_their_order(
    small: AnnData, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = rng.permutation(small.n_obs)
    shuffled = small[rows, rng.permutation(small.n_vars)].copy()
    shuffled.obs_names = [f"spot{i}" for i in range(small.n_obs)]
    prepared = []
    for name, adata in (("plain", small), ("shuffled", shuffled)):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        run(tmp_path / name, "prepare_slice", "--data", tmp_path / f"{name}.h5ad", "--n-top-genes", 500)
        table = pd.read_csv(tmp_path / name / "qc.tsv", sep="\t", index_col=0)
        assert list(table.index) == list(adata.obs_names)
        assert table.query("~kept")["reason"].value_counts().to_dict() == {"no counts": 2, "off tissue": 1}
        prepared.append(anndata.read_h5ad(tmp_path / name / "prepared.h5ad"))
    plain, other = prepared
    assert plain.n_obs == 147 and list(plain.var_names) == list(other.var_names) == sorted(plain.var_names)
    assert plain.obs["input_row"].tolist() == rows[other.obs["input_row"]].tolist()
    assert (plain.X != other.X).nnz == 0 and plain.X.dtype == np.float32
    np.testing.assert_array_equal(plain.obsm["X_pca"], other.obsm["X_pca"])
    for graph in ("spatial_connectivities", "feature_connectivities"):
        assert (plain.obsp[graph] != other.obsp[graph]).nnz == 0
    assert list(shuffled.obs_names[other.obs["input_row"]]) == list(other.obs_names)
    assert other.uns["spotfuse"]["n_spots_input"] == 150


def test_a_refusal_is_one_line_with_status_2_or_a_note(small: AnnData, root: Path, tmp_path: Path) -> None:
    small.write_h5ad(tmp_path / "s.h5ad")
    command = [sys.executable, root / "bin/prepare_slice.py", "--sample", "S", "--data", "../s.h5ad"]
    command += ["--min-counts", "1000000000"]
    (folder := tmp_path / "run").mkdir()
    env = os.environ | {"PYTHONWARNINGS": "ignore"}
    plain = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False, env=env)
    assert plain.returncode == 2 and plain.stderr.count("\n") == 1 and "leaves no spot of 150" in plain.stderr
    subprocess.run([*command, "--status", "S.json"], cwd=folder, capture_output=True, check=True, env=env)
    assert "leaves no spot of 150" in json.loads((folder / "S.json").read_text())["failure"]
    assert sorted(path.name for path in folder.iterdir()) == ["S.json"]


def test_known_labels_are_scored_over_what_quality_control_dropped(small: AnnData, tmp_path: Path) -> None:
    small.write_h5ad(tmp_path / "s.h5ad")
    run(tmp_path / "run", "prepare_slice", "--data", tmp_path / "s.h5ad")
    qc = pd.read_csv(tmp_path / "run/qc.tsv", sep="\t")
    domains = small.obs.loc[qc.loc[qc["kept"], "spot"], "label"].cat.codes + 1
    table = pd.DataFrame({"spot": domains.index, "domain": domains, "confidence": 1.0})
    table.to_csv(tmp_path / "run/domains.tsv", sep="\t", index=False)
    (tmp_path / "run/meta.json").write_text('{"sample": "S"}')
    options = ("--data", tmp_path / "s.h5ad", "--annotation", "label", "--parts", ".")
    run(tmp_path / "run", "collect_slice", *options, "--meta", "meta.json", "--params", "meta.json", sample="S")
    scores = json.loads((tmp_path / "run/S/metrics.json").read_text())
    assert scores["proportions"] is None
    assert scores["domains"]["n_scored"] == 147 and scores["domains"]["n_annotated"] == 150
    assert 0.9 < scores["domains"]["ari"] < 1


def test_a_slices_own_columns_called_as_ours_stay_beside_them(small: AnnData, tmp_path: Path) -> None:
    small.obs[["n_counts", "mt_share", "input_row", "kept"]] = ["mine", 7, "row", "no"]
    small.obs["input_n_counts"] = "other"
    small.var["highly_variable"] = "no"
    small.write_h5ad(tmp_path / "own.h5ad")
    run(tmp_path, "prepare_slice", "--data", tmp_path / "own.h5ad", "--n-top-genes", 500)
    found = anndata.read_h5ad(tmp_path / "prepared.h5ad")
    np.testing.assert_array_equal(found.obs["n_counts"], np.asarray(small[found.obs_names].X.sum(axis=1)).ravel())
    assert found.obs["input_row"].dtype.kind == "i" and found.var["highly_variable"].sum() == 500
    own = {"input_input_n_counts": "mine", "input_mt_share": 7, "input_input_row": "row", "kept": "no"}
    for column, value in (own | {"input_n_counts": "other"}).items():
        assert set(found.obs[column]) == {value}, column
    assert set(found.var["input_highly_variable"]) == {"no"}
