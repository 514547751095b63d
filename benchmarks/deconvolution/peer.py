"""Run one peer with its defaults, in its own environment: `peer.py NAME spots.h5ad reference.h5ad proportions.tsv`."""

import sys

import anndata
import numpy as np
import pandas as pd


def flashdeconv(st: anndata.AnnData, sc: anndata.AnnData) -> pd.DataFrame:
    """Run FlashDeconv."""
    import flashdeconv

    flashdeconv.tl.deconvolve(st, sc, cell_type_key="cell_type")
    return pd.DataFrame(st.obsm["flashdeconv"], index=st.obs_names)


def tangram(st: anndata.AnnData, sc: anndata.AnnData) -> pd.DataFrame:
    """Run Tangram on cells, all shared genes."""
    import scanpy
    import tangram

    scanpy.pp.normalize_total(sc)
    tangram.pp_adatas(sc, st, genes=None)
    found = tangram.map_cells_to_space(sc, st, mode="cells", density_prior="rna_count_based", random_state=1)
    types = pd.get_dummies(sc.obs["cell_type"]).astype(float)
    return pd.DataFrame(np.asarray(found.X).T @ types.to_numpy(), st.obs_names, types.columns)


def cell2location(st: anndata.AnnData, sc: anndata.AnnData) -> pd.DataFrame:
    """Run cell2location with eight cells a spot expected and no gene left out."""
    from cell2location.models import Cell2location, RegressionModel

    genes = st.var_names.intersection(sc.var_names)
    st, sc = st[:, genes].copy(), sc[:, genes].copy()
    RegressionModel.setup_anndata(sc, labels_key="cell_type")
    signatures = RegressionModel(sc)
    signatures.train(max_epochs=250, batch_size=2500)
    sc = signatures.export_posterior(sc, sample_kwargs={"num_samples": 200})
    means = sc.varm["means_per_cluster_mu_fg"]
    means.columns = sc.uns["mod"]["factor_names"]
    Cell2location.setup_anndata(st)
    model = Cell2location(st, cell_state_df=means, N_cells_per_location=8, detection_alpha=20)
    model.train(max_epochs=5000, batch_size=None)
    st = model.export_posterior(st, sample_kwargs={"num_samples": 200})
    return pd.DataFrame(np.asarray(st.obsm["q05_cell_abundance_w_sf"]), st.obs_names, means.columns)


def main(name: str, spots: str, cells: str, out: str) -> None:
    """Read, run, scale rows to 1, write."""
    table = {"flashdeconv": flashdeconv, "tangram": tangram, "cell2location": cell2location}[name](
        anndata.read_h5ad(spots), anndata.read_h5ad(cells)
    )
    table.div(table.sum(axis=1), axis=0).fillna(0.0).to_csv(out, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
