"""From raw counts to what the encoder reads: variable genes, principal components, and the two graphs."""

import logging

import numpy as np
import numpy.typing as npt
from anndata import AnnData
from scipy import sparse
from scipy.sparse.linalg import eigsh

from spotfuse import graphs
from spotfuse.errors import InputError

log = logging.getLogger(__name__)

_TARGET_SUM = 1e4
_CLIP = 10.0  # standard deviations above the mean
_CHUNK = 10_000
_COVARIANCE_SPOTS = 100_000  # enough for a covariance of genes: more spots only take time
_FEATURE_SMOOTHING = 4  # steps of spatial averaging before spots are compared by expression


def prepare(adata: AnnData, *, n_top_genes: int = 3000, n_components: int = 50, n_neighbors: int = 6) -> None:
    """Add variable genes, principal components and the two graphs to a slice, in place.

    Written are ``var['highly_variable']``, ``obsm['X_pca']`` (float32, of shape (n_spots, n_components)),
    ``obsp['spatial_connectivities']`` and ``obsp['feature_connectivities']``.

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

    Raises
    ------
    InputError
        With fewer than 3 spots or 2 genes.
    """
    if adata.n_obs < 3 or adata.n_vars < 2:
        raise InputError(
            f"{adata.n_obs} spots and {adata.n_vars} genes are left; at least 3 and 2 are needed: filter less"
        )
    adata.var["highly_variable"] = _variable_genes(adata, n_top_genes)
    values = log_normalised(adata)[:, adata.var["highly_variable"].to_numpy()]
    adata.obsm["X_pca"] = principal_components(values, n_components)
    spatial = graphs.spatial_graph(adata, n_neighbors)
    smoothed: npt.NDArray[np.float32] = adata.obsm["X_pca"]
    average = graphs.averaging(spatial, self_weight=0.5)
    for _ in range(_FEATURE_SMOOTHING):
        smoothed = average @ smoothed
    adata.obsp["spatial_connectivities"] = spatial
    adata.obsp["feature_connectivities"] = graphs.feature_graph(smoothed)
    log.info(
        "%d spots, %d variable genes, %d components, %.1f neighbours a spot",
        adata.n_obs,
        int(adata.var["highly_variable"].sum()),
        smoothed.shape[1],
        spatial.nnz / adata.n_obs,
    )


def log_normalised(adata: AnnData) -> sparse.csr_matrix:
    """Scale the counts of each spot to 10,000 and take log1p; CSR of shape (n_spots, n_genes), float32."""
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    scaled = sparse.diags((_TARGET_SUM / np.maximum(total, 1)).astype(np.float32)) @ counts
    return sparse.csr_matrix(scaled).log1p()


def principal_components(values: sparse.csr_matrix, n_components: int) -> npt.NDArray[np.float32]:
    """Scores on the leading components of standardised genes, exact and with fixed signs.

    Genes are centred, divided by their standard deviation and clipped from above, without ever being dense.

    Parameters
    ----------
    values
        Log-normalised expression, CSR of shape (n_spots, n_genes).
    n_components
        Components wanted.

    Returns
    -------
    Scores of shape (n_spots, n_components).
    """
    n_spots, n_genes = values.shape
    mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0), dtype=np.float64).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    deviation[deviation < 1e-6] = np.inf
    scaled = values.copy()
    scaled.data = np.minimum(scaled.data, (mean + _CLIP * deviation)[scaled.indices]) / deviation[scaled.indices]
    scaled = sparse.csr_matrix(scaled, dtype=np.float32)
    centre = np.asarray(scaled.mean(axis=0), dtype=np.float64).ravel()

    sample = scaled[:: max(1, -(-n_spots // _COVARIANCE_SPOTS))]
    covariance = np.zeros((n_genes, n_genes))
    for start in range(0, sample.shape[0], _CHUNK):
        block = sample[start : start + _CHUNK].toarray() - centre.astype(np.float32)
        covariance += block.T @ block
    k = min(n_components, n_genes - 1, n_spots - 1)
    if n_genes <= 4 * k:
        vectors = np.linalg.eigh(covariance)[1][:, ::-1][:, :k]
    else:
        vectors = eigsh(covariance, k=k, v0=np.ones(n_genes))[1][:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(k)])
    return np.asarray(scaled @ vectors - centre @ vectors, dtype=np.float32)


def _variable_genes(adata: AnnData, n_top_genes: int) -> npt.NDArray[np.bool_]:
    if adata.n_vars <= n_top_genes:
        return np.ones(adata.n_vars, dtype=bool)
    import scanpy as sc

    for span in (0.3, 1.0):  # genes with equal means can make the narrower fit singular
        try:
            table = sc.pp.highly_variable_genes(
                adata, flavor="seurat_v3", n_top_genes=n_top_genes, span=span, inplace=False
            )
        except ValueError:
            continue
        return np.asarray(table["highly_variable"], dtype=bool)
    raise InputError(f"variable genes cannot be told apart among {adata.n_vars}: filter genes seen in few spots")
