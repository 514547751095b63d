"""
Names that begin with a dash, and the columns of the sheet that say how a slice is read, reach the commands; and a slice
whose spots are cells, as its platform says, has types in a table of their own and in the h5ad, and domains by these.
"""

import json
import shlex
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

# names of columns and of files
SHEET = """
sample,data,platform,n_domains,domains_from,reference,cell_type_key,annotation,proportions,section,layer,spatial_key,symbol_column
1,-slice.h5ad,other_cells,2,composition,-atlas.h5ad,-types.tsv,-layer,-known.tsv,-part:it's a,-raw,-xy,-symbol
"""
CHOICE = [
    "--platform=other_cells",
    "--section=-part:it's a",
    "--layer=-raw",
    "--spatial-key=-xy",
    "--symbol-column=-symbol",
]


@pytest.fixture(scope="module")
def run(pipeline):
    test, folder = pipeline.folder / "assets/test", pipeline.launch / "dashes"
    folder.mkdir()
    adata = ad.read_h5ad(test / "starmap_left.h5ad")
    rows = np.arange(adata.n_obs)
    adata.obs["-part"] = np.where(rows % 2, "it's a", "b")
    adata.obs["-layer"] = np.where(adata.obsm["spatial"][:, 0] > np.median(adata.obsm["spatial"][:, 0]), "L1", "L2")
    adata.layers["-raw"] = adata.X.copy()
    adata.obsm["-xy"] = adata.obsm["spatial"].copy()
    adata.var["-symbol"] = adata.var_names.to_numpy()
    adata.write_h5ad(folder / "-slice.h5ad")
    cells = ad.read_h5ad(test / "starmap_reference.h5ad")
    cells.obs = cells.obs.rename(columns={"cell_type": "-type"})
    cells.obs[["-type"]].to_csv(folder / "-types.tsv", sep="\t")
    cells.write_h5ad(folder / "-atlas.h5ad")
    (folder / "-known.tsv").write_text((test / "starmap_left_proportions.tsv").read_text())
    (folder / "sheet.csv").write_text(SHEET)
    return pipeline.run("--input", folder / "sheet.csv", "--epochs", "10", outdir="dashes/results")


def words(pipeline, run, step: str) -> list[str]:
    (row,) = (row for row in run.trace if row["process"].endswith(step))
    (script,) = Path(pipeline.launch / "work").glob(row["hash"] + "*/.command.sh")
    return shlex.split(script.read_text(), comments=True)


def test_words_that_begin_with_a_dash_are_values(run) -> None:
    assert run.table("cohort/failures.tsv") == [], run.output
    found = json.loads((run.outdir / "1/metrics.json").read_text())
    assert found["domains"]["n_scored"] == found["n_spots"] > 0
    assert found["proportions"]["rmse"] < 0.2


@pytest.mark.parametrize("step", ["CHECK_SLICE", "PREPARE_SLICE", "COLLECT_SLICE"])
def test_the_columns_arrive_where_a_slice_is_read(pipeline, run, step: str) -> None:
    assert set(CHOICE) <= set(words(pipeline, run, step))


def test_cells_have_types(run) -> None:
    table = pd.read_csv(run.outdir / "1/cell_types.tsv", sep="\t", index_col="cell")
    adata = ad.read_h5ad(run.outdir / "1/1.h5ad")
    assert list(table.index) == list(adata.obs_names) and adata.uns["spotfuse"]["platform"] == "other_cells"
    assert adata.uns["spotfuse"]["domains_from"] == "composition" and adata.obs["domain"].nunique() == 2
    assert list(table["class"]) == list(adata.obs["cell_type_class"])
    known = table["class"] != "no type"
    assert (adata.obs["cell_type"][known] == table["first_type"][known]).all()
    assert adata.obs["cell_type"][~known].isna().all()
    assert set(table["first_type"]) <= set(adata.uns["spotfuse"]["cell_types"])
    page = (run.outdir / "1/report.html").read_text()
    assert f"{len(table)} cells fall into 2 domains" in page and "Cells of each type in each domain" in page
    n_single = int((table["class"] == "singlet").sum())
    assert f"{n_single} have one type" in page and "cell_types.tsv has each" in page
