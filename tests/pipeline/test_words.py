"""Names that begin with a dash, and the columns of the sheet that say how a slice is read, reach the commands."""

import json
import shlex
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

SHEET = """sample,data,n_domains,reference,cell_type_key,annotation,proportions,section,layer,spatial_key,symbol_column
1,-slice.h5ad,2,-atlas.h5ad,-type,-layer,-known.tsv,-part:it's a,-raw,-xy,-symbol
table,-slice.h5ad,2,-atlas.h5ad,-types.tsv,-layers.tsv,,-part:it's a,-raw,-xy,-symbol
"""
CHOICE = ["--platform=auto", "--section=-part:it's a", "--layer=-raw", "--spatial-key=-xy", "--symbol-column=-symbol"]


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
    adata.obs[["-layer"]].to_csv(folder / "-layers.tsv", sep="\t")
    cells = ad.read_h5ad(test / "starmap_reference.h5ad")
    cells.obs = cells.obs.rename(columns={"cell_type": "-type"})
    cells.obs[["-type"]].to_csv(folder / "-types.tsv", sep="\t")
    cells.write_h5ad(folder / "-atlas.h5ad")
    (folder / "-known.tsv").write_text((test / "starmap_left_proportions.tsv").read_text())
    (folder / "sheet.csv").write_text(SHEET)
    return pipeline.run("--input", folder / "sheet.csv", "--epochs", "10", outdir="dashes/results")


def words(pipeline, run, step: str, sample: str) -> list[str]:
    row = next(row for row in run.trace if row["process"].endswith(step) and row["tag"] == sample)
    (script,) = Path(pipeline.launch / "work").glob(row["hash"] + "*/.command.sh")
    return shlex.split(script.read_text(), comments=True)


def test_words_that_begin_with_a_dash_are_values(run) -> None:
    assert run.table("cohort/failures.tsv") == [], run.output
    one, table = (json.loads((run.outdir / sample / "metrics.json").read_text()) for sample in ("1", "table"))
    assert one["domains"] == table["domains"] and one["domains"]["n_scored"] == one["n_spots"] > 0
    assert one["proportions"]["rmse"] < 0.2


@pytest.mark.parametrize("step", ["CHECK_SLICE", "PREPARE_SLICE", "COLLECT_SLICE"])
def test_the_columns_arrive_where_a_slice_is_read(pipeline, run, step: str) -> None:
    for sample in ("1", "table"):
        reads = step != "COLLECT_SLICE" or sample == "1"  # known domains in a table ask for none
        assert (set(CHOICE) <= set(words(pipeline, run, step, sample))) == reads
