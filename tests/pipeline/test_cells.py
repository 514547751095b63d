"""A slice whose spots are cells, as the platform in its sheet says: types in a table of their own and in the h5ad."""

import anndata as ad
import pandas as pd

SHEET = """sample,data,n_domains,reference,platform
cells,{0}/starmap_left.h5ad,4,{0}/starmap_reference.h5ad,other_cells
"""


def test_cells_have_types(pipeline) -> None:
    (pipeline.launch / "cells.csv").write_text(SHEET.format(pipeline.folder / "assets/test"))
    run = pipeline.run("--input", "cells.csv", "--epochs", "10", outdir="cells")
    assert run.exit_status == 0, run.output
    table = pd.read_csv(run.outdir / "cells/cell_types.tsv", sep="\t", index_col="cell")
    adata = ad.read_h5ad(run.outdir / "cells/cells.h5ad")
    assert list(table.index) == list(adata.obs_names) and adata.uns["spotfuse"]["platform"] == "other_cells"
    assert list(table["class"]) == list(adata.obs["cell_type_class"])
    known = table["class"] != "no type"
    assert (adata.obs["cell_type"][known] == table["first_type"][known]).all()
    assert adata.obs["cell_type"][~known].isna().all()
    assert set(table["first_type"]) <= set(adata.uns["spotfuse"]["cell_types"])
    page = (run.outdir / "cells/report.html").read_text()
    assert f"{len(table)} cells fall into 4 domains" in page and "Cells of each type in each domain" in page
    n_single = int((table["class"] == "singlet").sum())
    assert f"{n_single} have one type" in page and "cell_types.tsv has each" in page
