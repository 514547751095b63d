"""Run one peer with its defaults, in its own environment: `peer.py NAME spots.h5ad reference.h5ad proportions.tsv`.

`peer.py rctd_tables FILE` makes the table of likelihoods that RCTD's port would download.
"""

import sys
from math import lgamma

import anndata
import numpy as np
import pandas as pd


def flashdeconv(st: anndata.AnnData, sc: anndata.AnnData) -> pd.DataFrame:
    """Run FlashDeconv."""
    import flashdeconv

    flashdeconv.tl.deconvolve(st, sc, cell_type_key="cell_type")
    return pd.DataFrame(st.obsm["flashdeconv"], index=st.obs_names)


def celltypist(st: anndata.AnnData, sc: anndata.AnnData) -> pd.DataFrame:
    """Run CellTypist: a model of the reference's cells, cells typed one by one."""
    import celltypist
    import scanpy

    for adata in (st, sc):
        scanpy.pp.normalize_total(adata, target_sum=1e4)
        scanpy.pp.log1p(adata)
    model = celltypist.train(sc, labels="cell_type", n_jobs=1)
    found = celltypist.annotate(st, model=model).predicted_labels["predicted_labels"]
    return pd.get_dummies(found.astype(str)).astype(float).set_axis(st.obs_names)


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


def rctd_tables(path: str) -> None:
    """Make RCTD's log likelihoods of counts, by its own grid and noise; sums where a count's Poisson term counts."""
    import numba
    from rctd._likelihood import _ht_pdf_norm, build_x_vals
    from rctd._sigma import SIGMA_ALL
    from rctd._types import RCTDConfig

    step, half, drop = 4e-3, 5000, 60.0  # RCTD's grid of log factors; what is e^-60 of a term's peak is left out
    grid = np.arange(-half, half + 1) * step

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator]
    def logs(means, noise, factorials, first, last):  # type: ignore[no-untyped-def]
        found = np.empty((len(factorials), len(means)))
        for count in range(len(factorials)):
            for i, mean in enumerate(means):
                low, high, centre = 0, 2 * half + 1, np.log(max(count, 0.1) / mean) / step + half
                if count:
                    low = max(low, int(centre + first[count]) - 1)
                    high = min(high, int(centre + last[count]) + 2)
                total = 0.0
                for j in range(low, high):
                    log = (j - half) * step + np.log(mean)
                    total += np.exp(count * log - np.exp(log) - factorials[count] + noise[j])
                found[count, i] = np.log(max(total * step, 1e-300))
        return found

    means = build_x_vals()
    counts = np.arange(RCTDConfig().K_val + 3)
    # the Poisson term is count · (d - e^d + 1) below its peak at a log factor d from it
    away = np.concatenate([-np.geomspace(80, 1e-3, 4000), np.geomspace(1e-3, 6, 4000)])
    below = away - np.exp(away) + 1
    kept = [away[count * below > -drop] for count in counts[1:]]
    first = np.array([0.0, *(reach.min() for reach in kept)]) / step - 8
    last = np.array([0.0, *(reach.max() for reach in kept)]) / step + 8
    factorials = np.array([lgamma(count + 1) for count in counts])
    tables = {"X_vals": means}
    for sigma in SIGMA_ALL:
        noise = np.log(np.maximum(_ht_pdf_norm(grid / (sigma / 100)) / (sigma / 100), 1e-300))
        tables[str(sigma)] = logs(means, noise, factorials, first, last)
    np.savez(path, **tables)


def main(name: str, spots: str, cells: str, out: str) -> None:
    """Read, run, scale rows to 1, write."""
    table = {
        "celltypist": celltypist,
        "flashdeconv": flashdeconv,
        "tangram": tangram,
        "cell2location": cell2location,
    }[name](anndata.read_h5ad(spots), anndata.read_h5ad(cells))
    table.div(table.sum(axis=1), axis=0).fillna(0.0).to_csv(out, sep="\t")


if __name__ == "__main__":
    if sys.argv[1] == "rctd_tables":
        rctd_tables(sys.argv[2])
    else:
        main(*sys.argv[1:])
