"""Prepare a slice: variable genes, components and graphs in one go."""

import logging
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse._core import keys, tables
from spotfuse._core.errors import InputError
from spotfuse.preparation import _graphs
from spotfuse.preparation._components import add_components
from spotfuse.preparation._qc import neutral_order, quality_control, take
from spotfuse.preparation._settings import SETTINGS, Settings
from spotfuse.preparation._variable_genes import most_variable

log = logging.getLogger(__name__)


def prepare(
    adata: AnnData,
    *,
    n_top_genes: int = 3000,
    n_components: int = 50,
    n_neighbors: int = 6,
    settings: Settings = SETTINGS,
) -> None:
    """Add variable genes, principal components and the two graphs to a slice, in place.

    Written are ``var['highly_variable']``, ``obsm['X_pca']`` (components of Pearson residuals, float32, of shape
    (n_spots, n_components)), ``obsm['X_pca_log']`` (the same of logarithms), ``obsp['spatial_connectivities']`` and
    ``obsp['feature_connectivities']``.

    Parameters
    ----------
    adata
        Slice with raw counts in ``X`` and coordinates in ``obsm['spatial']``.
    n_top_genes
        Genes of which the components are made, the most variable ones (Seurat v3's criterion: Stuart et al. 2019,
        Cell 177:1888); all, if there are no more.
    n_components
        Principal components; fewer where spots or genes are fewer.
    n_neighbors
        Spatial neighbours of a spot that lies on no array.
    settings
        What else decides them.

    Raises
    ------
    InputError
        With fewer than 3 spots or 2 genes, or a number below 1.
    """
    for name, number in {"n_top_genes": n_top_genes, "n_components": n_components, "n_neighbors": n_neighbors}.items():
        if number < 1:
            raise InputError(f"{name} is {number}; it must be at least 1")
    if adata.n_obs < 3 or adata.n_vars < 2:
        raise InputError(
            f"{adata.n_obs} spots and {adata.n_vars} genes are left; at least 3 and 2 are needed: filter less"
        )
    adata.var[keys.HIGHLY_VARIABLE] = np.isin(np.arange(adata.n_vars), most_variable(adata, n_top_genes))
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    totals = np.asarray(counts.sum(axis=1), dtype=np.float32)
    adata.obsp[keys.SPATIAL_GRAPH] = _graphs.spatial_graph(adata, n_neighbors, settings)
    adata.uns.get(keys.NOTE, {}).get("notes", []).extend(_graphs.oddities(adata.obsp[keys.SPATIAL_GRAPH]))
    add_components(adata, [(counts[:, adata.var[keys.HIGHLY_VARIABLE].to_numpy()], totals)], n_components, settings)
    log.info(
        "%d spots, %d variable genes, %d components, %.1f neighbours a spot",
        adata.n_obs,
        int(adata.var[keys.HIGHLY_VARIABLE].sum()),
        adata.obsm[keys.X_PCA].shape[1],
        adata.obsp[keys.SPATIAL_GRAPH].nnz / adata.n_obs,
    )


def clean_and_prepare(
    adata: AnnData,
    *,
    min_counts: int = 1,
    min_genes: int = 1,
    max_mt_share: float = 1.0,
    min_spots: int = 3,
    n_top_genes: int = 3000,
    n_components: int = 50,
    n_neighbors: int = 6,
) -> tuple[AnnData, pd.DataFrame]:
    """Go from what `spotfuse.io.read_slice` gives to what all later steps share.

    Parameters
    ----------
    adata
        Slice with raw counts in ``X``, of shape (n_spots, n_genes), and coordinates in ``obsm['spatial']``; changed.
    min_counts, min_genes, max_mt_share, min_spots
        As for `quality_control`.
    n_top_genes, n_components, n_neighbors
        As for `prepare`.

    Returns
    -------
    prepared
        The spots and genes that are kept, in an order that only what they hold decides; ``obs['input_row']`` says where
        each spot stood. Columns of the slice's own that are called like ours become ``input_…``.
    table
        Which spots were kept and why, as `quality_control` gives it.

    Raises
    ------
    InputError
        As `quality_control` and `prepare` do.
    """
    thresholds: dict[str, Any] = {
        "min_counts": min_counts,
        "min_genes": min_genes,
        "max_mt_share": max_mt_share,
        "min_spots": min_spots,
    }
    sizes: dict[str, Any] = {"n_top_genes": n_top_genes, "n_components": n_components, "n_neighbors": n_neighbors}
    adata.uns[keys.NOTE] |= {
        "n_spots_input": adata.n_obs,
        "n_genes_input": adata.n_vars,
        "prepare": thresholds | sizes,
    }
    adata.obs = tables.make_room(adata.obs, ["input_row"])
    adata.var = tables.make_room(adata.var, [keys.HIGHLY_VARIABLE])
    adata.obs["input_row"] = np.arange(adata.n_obs)
    adata, table = quality_control(adata, **thresholds)
    # neither names of spots, nor the order of the input's rows and columns, nor the frame are to change anything
    order = neutral_order(adata.X, adata.var_names, adata.obs_names, adata.obsm[keys.SPATIAL][:, :2])
    adata = take(adata, order, np.argsort(adata.var_names))
    prepare(adata, **sizes)
    return adata, table
