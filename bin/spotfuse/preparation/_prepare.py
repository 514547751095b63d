"""Prepare a slice: variable genes, components and graphs in one go."""

import logging

import numpy as np
from anndata import AnnData
from scipy import sparse

from spotfuse._core.errors import InputError
from spotfuse.preparation import _graphs
from spotfuse.preparation._components import add_components
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
    adata.var["highly_variable"] = np.isin(np.arange(adata.n_vars), most_variable(adata, n_top_genes))
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    totals = np.asarray(counts.sum(axis=1), dtype=np.float32)
    adata.obsp["spatial_connectivities"] = _graphs.spatial_graph(adata, n_neighbors)
    adata.uns.get("spotfuse", {}).get("notes", []).extend(_graphs.oddities(adata.obsp["spatial_connectivities"]))
    add_components(adata, [(counts[:, adata.var["highly_variable"].to_numpy()], totals)], n_components, settings)
    log.info(
        "%d spots, %d variable genes, %d components, %.1f neighbours a spot",
        adata.n_obs,
        int(adata.var["highly_variable"].sum()),
        adata.obsm["X_pca"].shape[1],
        adata.obsp["spatial_connectivities"].nnz / adata.n_obs,
    )
