#!/usr/bin/env python3
"""Make the bundled slices of assets/demo and their small cut in assets/test.

usage: cut_slices.py DATA, DATA being the folder that holds dlpfc/, her2st/, pdac_a/ and starmap_sim_deconv/ as
assets/demo/README.md describes them. Run from the repository's root.
"""

import shutil
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

DEMO, TEST = Path("assets/demo"), Path("assets/test")
NOT_SCORED = ["undetermined"]  # regions the pathologist left open
COMPRESSION = {"compression": "gzip", "compression_opts": 9}


def bundle_demo(data: Path) -> None:
    """Copy the demo's slices as they are; the pathologist's regions go into a table without the open ones."""
    copies = {
        "dlpfc/151673.h5ad": "dlpfc_151673.h5ad",
        "her2st/H1.h5ad": "her2st_H1.h5ad",
        "pdac_a/st.h5ad": "pdac_A.h5ad",
        "pdac_a/sc_reference.h5ad": "pdac_A_reference.h5ad",
        "starmap_sim_deconv/st.h5ad": "starmap.h5ad",
        "starmap_sim_deconv/sc_reference.h5ad": "starmap_reference.h5ad",
        "starmap_sim_deconv/truth_proportions.tsv": "starmap_proportions.tsv",
    }
    for source, target in copies.items():
        shutil.copyfile(data / source, DEMO / target)
    regions = ad.read_h5ad(DEMO / "her2st_H1.h5ad").obs["label"].astype("str").rename("region").rename_axis("spot")
    regions[~regions.isin(NOT_SCORED)].to_csv(DEMO / "her2st_H1_regions.tsv", sep="\t")


def cut_test() -> None:
    """Cut a strip of cortex, and two halves of the STARmap spots with a thinned reference, 500 genes each."""
    cortex = ad.read_h5ad(DEMO / "dlpfc_151673.h5ad")
    cortex = _most_counted_genes(cortex[(cortex.obs["array_col"] < 30).to_numpy()])  # a strip with all seven layers
    cortex.write_h5ad(TEST / "cortex.h5ad", **COMPRESSION)

    spots = _most_counted_genes(ad.read_h5ad(DEMO / "starmap.h5ad"))
    truth = pd.read_csv(DEMO / "starmap_proportions.tsv", sep="\t", index_col=0)
    middle = np.median(spots.obsm["spatial"][:, 0])
    for name, inside in (
        ("left", spots.obsm["spatial"][:, 0] <= middle),
        ("right", spots.obsm["spatial"][:, 0] > middle),
    ):
        half = spots[inside].copy()
        half.write_h5ad(TEST / f"starmap_{name}.h5ad", **COMPRESSION)
        truth.loc[half.obs_names].to_csv(TEST / f"starmap_{name}_proportions.tsv", sep="\t")
    reference = ad.read_h5ad(DEMO / "starmap_reference.h5ad")[:, spots.var_names]
    place = reference.obs.groupby("cell_type", observed=True).cumcount()
    reference[(place < 40).to_numpy()].copy().write_h5ad(TEST / "starmap_reference.h5ad", **COMPRESSION)


def _most_counted_genes(adata: ad.AnnData, n: int = 500) -> ad.AnnData:
    counts = np.asarray(adata.X.sum(axis=0)).ravel()
    return adata[:, np.sort(np.argsort(-counts, kind="stable")[:n])].copy()


if __name__ == "__main__":
    bundle_demo(Path(sys.argv[1]))
    cut_test()
